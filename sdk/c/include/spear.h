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

static inline int32_t sp_log_text(int32_t level, const char *text) {
  return sp_log(level, text, (int32_t)strlen(text));
}

#endif
