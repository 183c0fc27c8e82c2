/* A folder with a configuration for each test. */
#ifndef TESTS_UNIT_CONFIG_FIXTURE_H
#define TESTS_UNIT_CONFIG_FIXTURE_H

#include "common/config.h"

extern char fixture_folder[64], fixture_file[96]; /* the file: musterd.yaml */
extern struct config *fixture_config;		  /* freed in the end */
extern struct config_errors fixture_errors;

void fixture_setup(void);
void fixture_teardown(void);

/* Writes a file in the folder: musterd.yaml, conf.d/10.yaml, … */
void fixture_write(const char *name, const char *text);

/* Every error as "name:line:column text" and a line feed, without the folder;
 * the caller frees it. */
char *fixture_all_errors(void);

/* Writes musterd.yaml and loads what must be right. */
void fixture_load(const char *text);

/* The same for what must be refused with these errors, as above. */
void fixture_refuse(const char *text, const char *wanted);
#define AT(place) "musterd.yaml:" place " "

#endif
