package import Foundation

/// A library that is loaded into a process before all others and plays what disks and contents do
/// rarely: an `fsync` that fails, a write that hangs, a file that kills whoever writes it.
///
/// It is compiled when a test needs it; the compiler came with Swift.
package struct FaultShim {
    /// What can be played.
    package enum Fault: String, Sendable {
        /// `fsync` and `fdatasync` of files whose path ends so fail with EIO.
        case syncFails = "sync-fails"
        /// They hang until the fault ends.
        case syncHangs = "sync-hangs"
        /// A rename to a name that begins so fails with EIO.
        case renameFails = "rename-fails"
        /// It hangs until the fault ends.
        case renameHangs = "rename-hangs"
        /// It ends the process by SIGKILL.
        case renameKills = "rename-kills"
    }

    /// Variables that load it into a process.
    package let environment: [String: String]

    private let folder: URL

    /// Compiles it into a folder.
    package init(in folder: URL) throws {
        self.folder = folder
        let source = folder.appendingPathComponent("faults.c")
        let library = folder.appendingPathComponent("faults.so")
        try Self.text.write(to: source, atomically: true, encoding: .utf8)
        let (code, complaint) = try CommandRun.outcomeAtOnce(of: [
            "clang", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library.path, source.path,
            "-ldl",
        ])
        guard code == 0 else {
            throw KitError("clang could not compile \(source.path): \(complaint)")
        }
        environment = ["LD_PRELOAD": library.path, "FAULTS": folder.path]
    }

    /// From now on this happens to files whose name or path fits.
    package func begin(_ fault: Fault, of part: String) throws {
        try Data(part.utf8).write(
            to: folder.appendingPathComponent(fault.rawValue), options: .atomic)
    }

    /// It happens no more.
    package func end(_ fault: Fault) throws {
        try FileManager.default.removeItem(at: folder.appendingPathComponent(fault.rawValue))
    }

    private static let text = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <errno.h>
        #include <fcntl.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <unistd.h>

        /* Whether a fault is on, and its text fits the end or the start of a name. */
        static int is_on(const char *fault, const char *name, int by_end) {
            const char *folder = getenv("FAULTS");
            char path[4096], part[256];
            if (!folder) return 0;
            snprintf(path, sizeof path, "%s/%s", folder, fault);
            int file = open(path, O_RDONLY | O_CLOEXEC);
            if (file < 0) return 0;
            ssize_t count = read(file, part, sizeof part - 1);
            close(file);
            size_t length = strlen(name);
            if (count <= 0 || (size_t)count > length) return 0;
            return memcmp(by_end ? name + length - count : name, part, count) == 0;
        }

        static int sync_fails(int descriptor) {
            char link[64], path[4096];
            snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
            ssize_t length = readlink(link, path, sizeof path - 1);
            if (length < 0) return 0;
            path[length] = 0;
            while (is_on("sync-hangs", path, 1)) usleep(10000);
            return is_on("sync-fails", path, 1);
        }

        int fsync(int descriptor) {
            static int (*real)(int);
            if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
            if (sync_fails(descriptor)) { errno = EIO; return -1; }
            return real(descriptor);
        }

        int fdatasync(int descriptor) {
            static int (*real)(int);
            if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
            if (sync_fails(descriptor)) { errno = EIO; return -1; }
            return real(descriptor);
        }

        int renameat(int from, const char *old, int to, const char *name) {
            static int (*real)(int, const char *, int, const char *);
            if (!real)
                real = (int (*)(int, const char *, int, const char *))dlsym(RTLD_NEXT, "renameat");
            if (is_on("rename-kills", name, 0)) kill(getpid(), SIGKILL);
            while (is_on("rename-hangs", name, 0)) usleep(10000);
            if (is_on("rename-fails", name, 0)) { errno = EIO; return -1; }
            return real(from, old, to, name);
        }

        """
}
