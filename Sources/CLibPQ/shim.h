// Everything of the library that Swift can import by itself. Debian keeps the header in a folder of
// its own, which the compiler does not search; Homebrew and others do not.
#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif
