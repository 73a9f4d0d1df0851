/* Has a model answer its input, which may ask to add two numbers: the function for that is called in between. */
#include <spear.h>
#include <stdio.h>
#include <stdlib.h>

static char arena[8192] __attribute__((aligned(8)));

static int32_t add(const char *arguments, int32_t length, char *out, uint32_t *out_length) {
  const char *a = strstr(arguments, "\"a\":"), *b = strstr(arguments, "\"b\":");
  if (length == 0 || !a || !b) return SP_EINVAL;
  *out_length = (uint32_t)snprintf(out, *out_length, "%d", atoi(a + 4) + atoi(b + 4));
  return 0;
}

static void set(int32_t chat, const char *key, int32_t value) {
  char text[80];
  uint32_t size = (uint32_t)snprintf(text, sizeof text, "{\"key\": \"%s\", \"value\": %d}", key, (int)value);
  sp_cchat_ctl(chat, SP_CHAT_SET_PARAM, text, &size);
}

int main(void) {
  static char text[65536], tool[] = "{\"type\": \"function\", \"function\": {\"name\": \"add\"}}";
  int32_t length = (int32_t)fread(text, 1, sizeof text, stdin), chat = sp_cchat_create();
  set(chat, "tool_arena_ptr", (int32_t)arena), set(chat, "tool_arena_len", sizeof arena);
  sp_cchat_write_msg(chat, "user", 4, text, length), sp_cchat_write_fn(chat, add, tool, sizeof tool - 1);
  uint32_t room = sizeof text;
  length = sp_cchat_recv(sp_cchat_send(chat, SP_CHAT_METRICS | SP_CHAT_TOOLS), text, &room);
  return length < 0 || fwrite(text, 1, (size_t)length, stdout) == 0;
}
