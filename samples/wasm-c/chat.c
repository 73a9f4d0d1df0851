/* Sends its input to a model and answers with what that said, as JSON; arguments are parameters such as {"key": "model", ...}. */
#include <spear.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char *what, int32_t error) {
  fprintf(stderr, "%s: %d", what, (int)error);
  return 1;
}

int main(int count, char **words) {
  static char question[65536];
  int32_t length = (int32_t)fread(question, 1, sizeof question, stdin), done = 0;
  int32_t chat = sp_cchat_create();
  if (chat < 0) return failed("create", chat);
  for (int at = 1; at < count && done == 0; at++) {
    uint32_t size = (uint32_t)strlen(words[at]);
    done = sp_cchat_ctl(chat, SP_CHAT_SET_PARAM, words[at], &size);
  }
  if (done < 0) return failed("ctl", done);
  if ((done = sp_cchat_write_msg(chat, "user", 4, question, length)) < 0) return failed("write_msg", done);
  int32_t response = sp_cchat_send(chat, SP_CHAT_METRICS);
  if (response < 0) return failed("send", response);
  uint32_t room = 0;
  sp_cchat_recv(response, NULL, &room);
  char *answer = malloc(room);
  if ((done = sp_cchat_recv(response, answer, &room)) < 0) return failed("recv", done);
  fwrite(answer, 1, (size_t)done, stdout);
  return sp_cchat_close(response) || sp_cchat_close(chat);
}
