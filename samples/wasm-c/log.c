/* Answers on stdout and says so in the log. */
#include <stdio.h>

#include "spear.h"

int main(void) {
  puts("Hello from SPEAR!");
  sp_log_text(SP_INFO, "hello was here");
  return 0;
}
