// Everything of the library that Swift can import by itself. `ETERM` and its kin are macros over
// macros, which Swift imports; `errno.h` gives the system's codes that libzmq mixes with its own.
#include <errno.h>
#include <zmq.h>
