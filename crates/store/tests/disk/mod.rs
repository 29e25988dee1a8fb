//! A disk that fails as told, below a process: a library that is loaded before libc and stands between SQLite and the
//! system. `DISK_KILL_AT=n` ends the process as `kill -9` does before the n-th write to a database; syncing a database
//! fails while the file `DISK_FAILS_WHILE` is there.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_database(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "roomful.db") != NULL;
}

static void count(int fd) {
    static long left = -1;
    const char *at = getenv("DISK_KILL_AT");
    if (!at || !is_database(fd)) return;
    if (left < 0) left = atol(at);
    if (left > 0 && --left == 0) kill(getpid(), SIGKILL);
}

static int fails(int fd) {
    const char *flag = getenv("DISK_FAILS_WHILE");
    return flag && is_database(fd) && access(flag, F_OK) == 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *from, size_t size) { count(fd); return REAL(write)(fd, from, size); }
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) { count(fd); return REAL(pwrite)(fd, from, size, at); }
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) { count(fd); return REAL(pwrite64)(fd, from, size, at); }
int ftruncate(int fd, off_t size) { count(fd); return REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { count(fd); return REAL(ftruncate64)(fd, size); }
int fsync(int fd) { count(fd); if (fails(fd)) { errno = EIO; return -1; } return REAL(fsync)(fd); }
int fdatasync(int fd) { count(fd); if (fails(fd)) { errno = EIO; return -1; } return REAL(fdatasync)(fd); }
"#;

/// The library, built once.
fn library() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("disk.c");
        std::fs::write(&source, SOURCE).unwrap();
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.path().join("disk.so"))
            .arg(&source)
            .arg("-ldl")
            .status()
            .unwrap();
        assert!(built.success());
        folder
    });
    folder.path().join("disk.so")
}

/// The ignored test `name` of this binary, as a process of its own over such a disk.
pub(crate) fn process(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture"]).env("LD_PRELOAD", library());
    command
}
