/* Short words for the entries of the table of keys; for config_table*.c. */
#ifndef COMMON_CONFIG_KEYS_H
#define COMMON_CONFIG_KEYS_H

#include "common/config_table.h"

#define SECOND 1000.0
#define MINUTE (60 * SECOND)
#define DAY (1440 * MINUTE)
#define KILO 1024.0
#define MEGA (KILO * KILO)

#define KEYS(list) list, sizeof(list) / sizeof((list)[0])
#define AT(member) .offset = offsetof(struct OWNER, member)
/* clang-format off */
#define LATER(key) {.name = (key), .type = &config_type_later}
/* clang-format on */
#define IN_PLACE .change = CONFIG_IN_PLACE
#define NEW_WORKERS .change = CONFIG_NEW_WORKERS
#define RESTART .change = CONFIG_RESTART

#endif
