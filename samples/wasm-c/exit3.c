/* Says a last word and fails with exit code 3. */
#include <stdio.h>

int main(void) {
  fputs("giving up\n", stderr);
  return 3;
}
