/* Injects faults into the I/O calls on the files of the inbox, or records them. Loaded with LD_PRELOAD; it changes nothing
 * about other files.
 *
 *   IO_FAULT=write:7:EIO     the seventh write, and every later one, fails with EIO
 *   IO_FAULT=sync:2:ENOSPC   the second fdatasync or fsync, and every later one, fails
 *   IO_FULL=/path            every write fails with ENOSPC while this file exists
 *   IO_KILL=12               the process ends by SIGKILL in place of its twelfth write, sync or message to a socket ...
 *   IO_ARM=/path             ... counted from the moment when this file exists
 *   IO_SYNC_MS=4             every sync takes this long and does nothing else
 *   IO_TRACE=/path           every write and sync is appended to this file
 *
 * A record of the trace: kind ('w', 's', 't' for truncate, 'f' for a sync that failed), file ('d' database, 'w' log), CLOCK_MONOTONIC in ns, offset and
 * length (three u64 in the byte order of the machine), then the bytes of a write. A sync is recorded when it has returned; its
 * offset is the time at which it began.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int counts[2];
static int trace = -1;

/* 'd' for the database, 'w' for its log, 0 for any other file. */
static char kind_of(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  const char *name = strrchr(path, '/');
  if (!name) return 0;
  if (!strcmp(name, "/inbox.db")) return 'd';
  if (!strcmp(name, "/inbox.db-wal")) return 'w';
  return 0;
}

/* One of the calls that are counted is about to happen. */
static void count_down(void) {
  static int left = 0;
  const char *kill_at = getenv("IO_KILL"), *arm = getenv("IO_ARM");
  if (!kill_at || !arm || access(arm, F_OK)) return;
  pthread_mutex_lock(&lock);
  int last = ++left >= atoi(kill_at);
  pthread_mutex_unlock(&lock);
  if (last) raise(SIGKILL);
}

static int is_socket(int fd) {
  struct stat status;
  return !fstat(fd, &status) && S_ISSOCK(status.st_mode);
}

/* Whether this call fails; it sets errno. `what` is 0 for a write, 1 for a sync. */
static int fails(int what) {
  const char *full = getenv("IO_FULL");
  if (full && !what && !access(full, F_OK)) {
    errno = ENOSPC;
    return 1;
  }
  const char *fault = getenv("IO_FAULT");
  if (!fault) return 0;
  int number = 0;
  char word[16] = "", code[16] = "";
  if (sscanf(fault, "%15[a-z]:%d:%15[A-Z]", word, &number, code) != 3) abort();
  if (strcmp(word, what ? "sync" : "write")) return 0;
  pthread_mutex_lock(&lock);
  int count = ++counts[what];
  pthread_mutex_unlock(&lock);
  if (count < number) return 0;
  errno = strcmp(code, "ENOSPC") ? EIO : ENOSPC;
  return 1;
}

static ssize_t (*real_writev)(int, const struct iovec *, int);

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void record(char kind, char file, uint64_t offset, uint64_t length, const void *bytes) {
  const char *path = getenv("IO_TRACE");
  if (!path) return;
  pthread_mutex_lock(&lock);
  if (trace < 0) trace = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  char head[26] = {kind, file};
  uint64_t numbers[3] = {now_ns(), offset, length};
  memcpy(head + 2, numbers, sizeof numbers);
  struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, bytes ? length : 0}};
  if (real_writev(trace, parts, 2) < 0) abort();
  pthread_mutex_unlock(&lock);
}

static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_ftruncate)(int, off64_t);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);

/* Whether nothing but the length of a sync is changed: then other calls cost nothing more, and can be measured. */
static int only_delays;

__attribute__((constructor)) static void start(void) {
  only_delays = !getenv("IO_KILL") && !getenv("IO_FULL") && !getenv("IO_FAULT") && !getenv("IO_TRACE");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  real_send = dlsym(RTLD_NEXT, "send");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  if (only_delays) return real_pwrite(fd, bytes, length, offset);
  char file = kind_of(fd);
  if (file) count_down();
  if (file && fails(0)) return -1;
  ssize_t written = real_pwrite(fd, bytes, length, offset);
  if (file && written > 0) record('w', file, (uint64_t)offset, (uint64_t)written, bytes);
  return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

static int synced(int fd, int (*real)(int)) {
  char file = kind_of(fd);
  if (!file) return real(fd);
  count_down();
  uint64_t begun = now_ns();
  if (fails(1)) {
    int error = errno;
    record('f', file, begun, 0, NULL);
    errno = error;
    return -1;
  }
  const char *ms = getenv("IO_SYNC_MS");
  int result = 0;
  if (ms) {
    struct timespec wait = {atol(ms) / 1000, atol(ms) % 1000 * 1000000l};
    nanosleep(&wait, NULL);
  } else {
    result = real(fd);
  }
  if (!result) record('s', file, begun, 0, NULL);
  return result;
}

int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int fsync(int fd) { return synced(fd, real_fsync); }

int ftruncate64(int fd, off64_t length) {
  char file = only_delays ? 0 : kind_of(fd);
  int result = real_ftruncate(fd, length);
  if (file && !result) record('t', file, (uint64_t)length, 0, NULL);
  return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
  if (!only_delays) count_down();
  return real_send(fd, bytes, length, flags);
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
  if (!only_delays && is_socket(fd)) count_down();
  return real_writev(fd, parts, number);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  if (!only_delays) count_down();
  return real_sendmsg(fd, message, flags);
}
