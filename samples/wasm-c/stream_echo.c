/* Says back what its clients say on any stream, until the last of them has left. */
#include <spear.h>

static char frame[SP_LONGEST_FRAME];

static void say_back(int32_t stream, int32_t room) {
  uint32_t length = sizeof frame;
  if (sp_user_stream_read(stream, frame, &length) < 0) return;
  sp_ep_ctl(room, SP_EPOLL_ADD, stream, SP_EPOLLOUT | SP_EPOLLERR | SP_EPOLLHUP);
  while (sp_user_stream_write(stream, frame, (int32_t)length) == SP_EAGAIN)
    sp_ep_wait(room, &(struct sp_ready){0}, &(uint32_t){sizeof(struct sp_ready)}, -1);
  sp_ep_ctl(room, SP_EPOLL_DEL, stream, 0);
}

int main(void) {
  struct sp_ready ready[64];
  int32_t epoll = sp_ep_create(), room = sp_ep_create(), control = sp_user_stream_ctl_open();
  for (int32_t count = sp_ep_ctl(epoll, SP_EPOLL_ADD, control, SP_EPOLLIN);;) {
    for (struct sp_ready *one = ready; one < ready + count; one++) {
      struct sp_stream_notice notice = {0};
      if (one->fd != control && one->events & SP_EPOLLIN) say_back(one->fd, room);
      else if (one->fd != control) sp_ep_ctl(epoll, SP_EPOLL_DEL, one->fd, 0), sp_user_stream_close(one->fd);
      else sp_user_stream_ctl_read(control, &notice, &(uint32_t){sizeof notice});
      if (notice.kind == SP_SESSION_CLOSED) return 0;
      if (notice.kind == SP_STREAM_CONNECTED) sp_ep_ctl(epoll, SP_EPOLL_ADD,
        sp_user_stream_open((int32_t)notice.stream_id, SP_BOTH_STREAM), SP_EPOLLIN | SP_EPOLLERR | SP_EPOLLHUP);
    }
    count = sp_ep_wait(epoll, ready, &(uint32_t){sizeof ready}, -1);
  }
}
