#include "lib/version.h"

const char pouch_version[] = POUCH_VERSION;
const char pouch_commit[] = POUCH_COMMIT;
const long pouch_build_time = POUCH_STAMP;
