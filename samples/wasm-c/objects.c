/* Keeps a count in the object store: reads it, adds one, and writes it unless somebody else did meanwhile. */
#include <spear.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t count_up(const char *name, int32_t length) {
  char text[32] = "", stat[256] = "";
  uint32_t room = sizeof stat - 1, text_room = sizeof text - 1;
  int32_t told = sp_object_stat(name, length, stat, &room);
  if (told > 0) told = sp_object_get(name, length, 0, text, &text_room);
  if (told < 0 && told != SP_ENOENT) return told;
  const char *version = strstr(stat, "\"version\": ");
  int32_t size = snprintf(text, sizeof text, "%d", atoi(text) + 1);
  int64_t written = sp_object_put(name, length, text, size, version ? atoi(version + 11) : 0);
  if (written > 0) puts(text);
  return written;
}

int main(int count, char **words) {
  char name[256];
  snprintf(name, sizeof name, "tasks/%s/count", getenv("TASK_ID"));
  if (count > 1) snprintf(name, sizeof name, "%s", words[1]);
  int32_t length = (int32_t)strlen(name);
  int64_t done = SP_EAGAIN;
  if (count > 2) done = sp_object_delete(name, length, atoi(words[2]));
  else while (done == SP_EAGAIN) done = count_up(name, length);
  if (done < 0) fprintf(stderr, "%d", (int)done);
  return done < 0;
}
