/* Greets on stdout, which is the answer. */
#include <stdio.h>

int main(void) {
  puts("Hello from SPEAR!");
  return 0;
}
