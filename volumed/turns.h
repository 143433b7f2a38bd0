/* turns: what is done to one volume is done one after the other, while its driver may take its time to answer. */
#ifndef POUCH_VOLUMED_TURNS_H
#define POUCH_VOLUMED_TURNS_H

struct turns;

struct turns *turns_new(void);
void turns_free(struct turns *t);

/* Call `fn` when it is this volume's turn, perhaps at once. It must lead to turn_end(). */
void turn_take(struct turns *t, const char *volume, void (*fn)(void *arg), void *arg);
void turn_end(struct turns *t, const char *volume);

#endif
