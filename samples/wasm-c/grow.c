/* Takes memory until there is none left, then fails; with the argument "survive" it goes on instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  size_t kept = 0;
  for (char *volatile block; (block = malloc(65536)) != NULL; kept += 65536) memset(block, 1, 65536);
  fprintf(stderr, "out of memory after %zu bytes\n", kept);
  if (argc > 1 && strcmp(argv[1], "survive") == 0) {
    puts("survived");
    return 0;
  }
  return 1;
}
