/* Tuning files on disk: where they are looked for, and how they are read and written whole or not at all. */
#ifndef NORMA_STORE_H
#define NORMA_STORE_H

#include "tuning/text.h"

/* Like PATH_MAX, which not every system has. */
enum { NORMA_PATH_ROOM = 4096, NORMA_NOTE_TEXT = NORMA_PATH_ROOM + NORMA_FLAW_TEXT + 64 };

/* Where the file of this machine may lie, in order: the user's configuration folder ($XDG_CONFIG_HOME/norma, else
 * ~/.config/norma) where there is one, then the system's (/etc/norma). False past the last. */
bool norma_store_place(int index, char (*path)[NORMA_PATH_ROOM]);

/* The user's alone: where a file goes when nobody says where. */
bool norma_store_user_place(char (*path)[NORMA_PATH_ROOM]);

/* Reads a file into the empty table. */
norma_flaw norma_store_read(const char *path, norma_table *table);

/* Makes the folders above a file. */
bool norma_store_make_folders(const char *path, char (*sentence)[NORMA_FLAW_TEXT]);

/* Makes ready to write: reads what `path` holds into the empty table. A tuning file that cannot be gone on with (cut short,
 * changed, of another build or machine) is renamed, which the note tells; what is no tuning file at all is left alone, and
 * false returned with a sentence. */
bool norma_store_open(const char *path, norma_table *table, char (*note)[NORMA_NOTE_TEXT], char (*sentence)[NORMA_FLAW_TEXT]);

/* Writes a table through a temporary file beside `path`, making missing folders: at no moment is there half a file. On failure
 * the sentence names what could not be done, and what was at `path` is still there. */
bool norma_store_write(const char *path, const norma_table *table, const char *comment, char (*sentence)[NORMA_FLAW_TEXT]);

#endif
