#include <unistd.h>
#include <fcntl.h>
#include <sys/syscall.h>
