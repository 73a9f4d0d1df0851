/* Answers with its input. */
#include <unistd.h>

int main(void) {
  char buffer[4096];
  for (ssize_t got; (got = read(0, buffer, sizeof buffer)) > 0;)
    for (ssize_t done = 0; done < got;) {
      ssize_t put = write(1, buffer + done, (size_t)(got - done));
      if (put < 0) return 1;
      done += put;
    }
  return 0;
}
