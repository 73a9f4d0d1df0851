/* What an agent written in C may ask of SPEAR; compile with `zig cc -target wasm32-wasi -I sdk/c/include`. */
#ifndef SPEAR_H
#define SPEAR_H

#include <stdint.h>
#include <string.h>

#define SPEAR_IMPORT(name) __attribute__((import_module("spear"), import_name(name)))

enum { SP_TRACE = 0, SP_DEBUG = 1, SP_INFO = 2, SP_WARN = 3, SP_ERROR = 4 };

/* Milliseconds and seconds since the Unix epoch. */
SPEAR_IMPORT("time_now_ms") int64_t sp_time_now_ms(void);
SPEAR_IMPORT("wall_time_s") int64_t sp_wall_time_s(void);

/* 64 random bits. */
SPEAR_IMPORT("random_i64") int64_t sp_random_i64(void);

/* Wait; a negative time is none at all. */
SPEAR_IMPORT("sleep_ms") void sp_sleep_ms(int32_t ms);

/* Append one line of at most 16384 bytes to the execution's log: 0, -14 (bad pointer) or -22 (bad length). */
SPEAR_IMPORT("log") int32_t sp_log(int32_t level, const char *text, int32_t length);

/* What a failed call returns: Linux error numbers, negated. */
enum {
  SP_EPERM = -1, SP_ENOENT = -2, SP_EIO = -5, SP_EBADF = -9, SP_EAGAIN = -11, SP_ENOMEM = -12, SP_EACCES = -13,
  SP_EFAULT = -14, SP_EINVAL = -22, SP_ENOSPC = -28, SP_EPIPE = -32, SP_ENOSYS = -38, SP_ECONNRESET = -104,
  SP_ENOTCONN = -107, SP_ETIMEDOUT = -110
};

/* The object store. `*out_length` says how much room there is, and afterwards how much there was to tell.
 * Names are those of the REST API; an agent may use tasks/<TASK_ID>/..., and what its task's config allows. */

/* Size, version, sha256 and content_type as JSON. Returns its length, SP_ENOENT, SP_EACCES or SP_ENOSPC. */
SPEAR_IMPORT("object_stat")
int32_t sp_object_stat(const char *name, int32_t name_length, void *out, uint32_t *out_length);

/* The bytes from `first` on, as many as there is room for. Returns how many; 0 at the end. */
SPEAR_IMPORT("object_get")
int32_t sp_object_get(const char *name, int32_t name_length, int64_t first, void *out, uint32_t *out_length);

/* Write a new version and return its number; SP_EAGAIN unless the one there is `version` (0: none, -1: whatever is). */
SPEAR_IMPORT("object_put")
int64_t sp_object_put(const char *name, int32_t name_length, const void *data, int32_t length, int64_t version);

/* Delete it; SP_EAGAIN as above, SP_EPERM for one that is pinned. */
SPEAR_IMPORT("object_delete") int32_t sp_object_delete(const char *name, int32_t name_length, int64_t version);

/* Conversations with models. Every number that these return is 0 or more, or one of the errors above. */
enum { SP_CHAT_SET_PARAM = 1, SP_CHAT_GET_METRICS = 2 };
enum { SP_CHAT_METRICS = 1, SP_CHAT_TOOLS = 2 };

/* A new conversation. */
SPEAR_IMPORT("cchat_create") int32_t sp_cchat_create(void);

/* Append a message. */
SPEAR_IMPORT("cchat_write_msg")
int32_t sp_cchat_write_msg(int32_t fd, const char *role, int32_t role_length, const char *content, int32_t length);

/* A tool's function: `*out_length` is the room at `out`, then what it wrote; 0, SP_ENOSPC to be called again with more, or an error. */
typedef int32_t (*sp_tool)(const char *arguments, int32_t length, char *out, uint32_t *out_length);

/* Append a tool: its function, and JSON as backends take it. Link with --export-table, so that SPEAR can call the function. */
SPEAR_IMPORT("cchat_write_fn") int32_t sp_cchat_write_fn(int32_t fd, sp_tool function, const char *json, int32_t length);

/* SP_CHAT_SET_PARAM: `argument` is {"key": ..., "value": ...}, `*length` bytes; SP_CHAT_GET_METRICS: what a response cost. */
SPEAR_IMPORT("cchat_ctl") int32_t sp_cchat_ctl(int32_t fd, int32_t command, void *argument, uint32_t *length);

/* Have a model go on. Returns a response, also when that says {"error": {"code": ..., "message": ...}}. With SP_CHAT_TOOLS, the
 * functions that it asks for are called in between, in the memory that parameters tool_arena_ptr and tool_arena_len name. */
SPEAR_IMPORT("cchat_send") int32_t sp_cchat_send(int32_t fd, int32_t flags);

/* The response as JSON. Returns its length, or SP_ENOSPC and in `*out_length` how much room it takes. */
SPEAR_IMPORT("cchat_recv") int32_t sp_cchat_recv(int32_t response, void *out, uint32_t *out_length);

/* Close a conversation or a response. */
SPEAR_IMPORT("cchat_close") int32_t sp_cchat_close(int32_t fd);

/* User streams: frames between the agent and the clients of its execution. A frame is its head, then meta, then data. */
enum { SP_IN_STREAM = 1, SP_OUT_STREAM = 2, SP_BOTH_STREAM = 3, SP_LONGEST_FRAME = 262144 };
struct sp_frame_head {
  char magic[4]; /* SPST */
  uint16_t version, head_length, type, flags; /* 1, 32, 2 (data), 0 */
  uint32_t stream_id;
  uint64_t sequence;
  uint32_t meta_length, data_length;
};

/* A descriptor of one stream; its client may come later. What was said on it before is read first. */
SPEAR_IMPORT("user_stream_open") int32_t sp_user_stream_open(int32_t stream_id, int32_t direction);

/* The oldest frame. Returns its length, SP_EAGAIN when there is none, or SP_ENOSPC, and then it stays. */
SPEAR_IMPORT("user_stream_read") int32_t sp_user_stream_read(int32_t fd, void *out, uint32_t *out_length);

/* One whole frame of this stream. Returns 0, SP_EAGAIN without room, SP_ENOTCONN before the client said something on
 * it, SP_EPIPE after it left, or SP_EINVAL. */
SPEAR_IMPORT("user_stream_write") int32_t sp_user_stream_write(int32_t fd, const void *frame, int32_t length);
SPEAR_IMPORT("user_stream_close") int32_t sp_user_stream_close(int32_t fd);

/* What happens to the streams: a client opened one (which may be told more than once), or the last client left. */
enum { SP_STREAM_CONNECTED = 1, SP_SESSION_CLOSED = 2 };
struct sp_stream_notice { uint32_t stream_id, kind; };
SPEAR_IMPORT("user_stream_ctl_open") int32_t sp_user_stream_ctl_open(void);
SPEAR_IMPORT("user_stream_ctl_read") int32_t sp_user_stream_ctl_read(int32_t fd, void *out, uint32_t *out_length);

/* Waiting for any of several descriptors: what is true is told as long as it is true, and only what was asked for. */
enum { SP_EPOLL_ADD = 1, SP_EPOLL_MOD = 2, SP_EPOLL_DEL = 3 };
enum { SP_EPOLLIN = 1, SP_EPOLLOUT = 4, SP_EPOLLERR = 8, SP_EPOLLHUP = 16 };
struct sp_ready { int32_t fd, events; };
SPEAR_IMPORT("spear_epoll_create") int32_t sp_ep_create(void);
SPEAR_IMPORT("spear_epoll_ctl") int32_t sp_ep_ctl(int32_t epfd, int32_t op, int32_t fd, int32_t events);

/* How many `struct sp_ready` were given; 0 when time ran out, which it never does when it is negative. */
SPEAR_IMPORT("spear_epoll_wait")
int32_t sp_ep_wait(int32_t epfd, struct sp_ready *out, uint32_t *out_length, int32_t timeout_ms);
SPEAR_IMPORT("spear_epoll_close") int32_t sp_ep_close(int32_t epfd);

/* Flags, kind, status and metrics of any descriptor, as JSON. Returns the length, or 0 for SP_FD_SET_FLAGS. */
enum { SP_FD_SET_FLAGS = 1, SP_FD_GET_FLAGS, SP_FD_GET_KIND, SP_FD_GET_STATUS, SP_FD_GET_METRICS };
SPEAR_IMPORT("spear_fd_ctl") int32_t sp_fd_ctl(int32_t fd, int32_t command, void *argument, uint32_t *length);

static inline int32_t sp_log_text(int32_t level, const char *text) {
  return sp_log(level, text, (int32_t)strlen(text));
}

#endif
