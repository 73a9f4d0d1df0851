/* Logs without end: by the log hostcall, or on stderr when it is given any argument. */
#include <stdio.h>

#include "spear.h"

int main(int argc, char **argv) {
  (void)argv;
  for (;;) {
    if (argc > 1)
      fputs("stderr again and again\n", stderr);
    else
      sp_log_text(SP_WARN, "again and again");
  }
}
