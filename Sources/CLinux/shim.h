#include <unistd.h>
#include <fcntl.h>
#include <sys/syscall.h>

// --- section: ZeroMQ -----------------------------------------------------------------------------

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/types.h>

// `struct ucred` needs _GNU_SOURCE, which Swift does not set for its view of Glibc; the kernel's
// layout (three 32-bit numbers) is fixed. Returns 0 and the process and user at the other end of a
// Unix-domain socket, or -1.
static inline int syncd_unix_peer(int fd, int32_t *process, uint32_t *user) {
    struct { int32_t process; uint32_t user; uint32_t group; } who = {0, 0, 0};
    socklen_t length = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) return -1;
    *process = who.process;
    *user = who.user;
    return 0;
}

// Prototype hidden without _GNU_SOURCE. Names a thread (at most 15 bytes) for `top` and debuggers.
extern int pthread_setname_np(pthread_t thread, const char *name);

// --- end of section: ZeroMQ ----------------------------------------------------------------------

/* ---- SyncSandbox ------------------------------------------------------------------------- */
/* openat2(2) has no wrapper in glibc, and syscall(2) is variadic, which Swift cannot import.   */
#include <errno.h>
#include <linux/openat2.h>
#include <stdint.h>

/* Opens the directory `path` below `directory`; links are followed only where they stay below it.
   O_PATH is hidden without _GNU_SOURCE, so the choice is made here.
   A descriptor, or minus the errno. */
static inline int syncd_open_beneath(int directory, const char *path, _Bool is_readable) {
    struct open_how how = {
        .flags = O_DIRECTORY | O_CLOEXEC | (is_readable ? O_RDONLY : __O_PATH),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long result = syscall(SYS_openat2, directory, path, &how, sizeof how);
    return result < 0 ? -errno : (int)result;
}
#include <linux/stat.h>

/* statx(2) is hidden without _GNU_SOURCE. Gives the inode of an open directory and, where the file
   system keeps it, when it was made (else zero); 0, or minus the errno. */
static inline int syncd_birth(
    int directory, uint64_t *inode, int64_t *seconds, uint32_t *nanoseconds
) {
    struct statx found;
    /* 0x1000 is AT_EMPTY_PATH, hidden likewise. */
    long result = syscall(
        SYS_statx, directory, "", 0x1000, STATX_INO | STATX_BTIME, &found);
    if (result < 0) return -errno;
    int is_known = (found.stx_mask & STATX_BTIME) != 0;
    *inode = found.stx_ino;
    *seconds = is_known ? found.stx_btime.tv_sec : 0;
    *nanoseconds = is_known ? found.stx_btime.tv_nsec : 0;
    return 0;
}
/* fgetxattr and fsetxattr: Glibc's module leaves them out. */
#include <sys/xattr.h>
/* ---- end of SyncSandbox ------------------------------------------------------------------ */

/* --- syncd up: children -------------------------------------------------------------------- */

#include <spawn.h>

/* A GNU extension that Swift's import of <spawn.h> leaves out: closes every descriptor from `first`
   on in the child, so that no socket or journal of the parent stays open in it. */
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int);

static inline int syncd_spawn_close_from(posix_spawn_file_actions_t *actions, int first) {
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

/* pipe2 is hidden without _GNU_SOURCE. */
extern int pipe2(int ends[2], int flags);

static inline int syncd_pipe_close_on_exec(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

/* mallopt: Glibc's module leaves it out. */
#include <malloc.h>
