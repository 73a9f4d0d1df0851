/* Sleeps as many milliseconds as its first argument says, an hour without one; "wasi" as second sleeps by WASI. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spear.h"

int main(int argc, char **argv) {
  int ms = argc > 1 ? atoi(argv[1]) : 3600 * 1000;
  if (argc > 2 && strcmp(argv[2], "wasi") == 0)
    usleep((useconds_t)ms * 1000);
  else
    sp_sleep_ms(ms);
  return 0;
}
