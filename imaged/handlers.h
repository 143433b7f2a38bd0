/* handlers: what imaged answers, by the file that does it. */
#ifndef POUCH_IMAGED_HANDLERS_H
#define POUCH_IMAGED_HANDLERS_H

#include "imaged/imaged.h"

/* list.c */
void on_image_list(struct ipc_request *req, struct image_list *m, struct imaged *d);
void on_image_usage(struct ipc_request *req, struct image_usage *m, struct imaged *d);
/* inspect.c */
void on_image_inspect(struct ipc_request *req, struct image_inspect *m, struct imaged *d);
void on_image_history(struct ipc_request *req, struct image_history *m, struct imaged *d);
/* create.c: import, and the way to pull.c */
void on_image_create(struct ipc_request *req, struct image_create *m, struct imaged *d);
/* load.c */
void on_image_load(struct ipc_request *req, struct image_load *m, struct imaged *d);
/* save.c */
void on_image_save(struct ipc_request *req, struct image_save *m, struct imaged *d);
void on_image_save_one(struct ipc_request *req, struct image_save_one *m, struct imaged *d);
/* commit.c */
void on_image_commit(struct ipc_request *req, struct image_commit *m, struct imaged *d);
/* prune.c */
void on_image_prune(struct ipc_request *req, struct image_prune *m, struct imaged *d);
void on_build_prune(struct ipc_request *req, struct build_prune *m, struct imaged *d);
/* check.c */
void on_image_check(struct ipc_request *req, struct image_check *m, struct imaged *d);
/* names.c */
void on_image_tag(struct ipc_request *req, struct image_tag *m, struct imaged *d);
/* remove.c */
void on_image_remove(struct ipc_request *req, struct image_remove *m, struct imaged *d);
/* push.c */
void on_image_push(struct ipc_request *req, struct image_push *m, struct imaged *d);
/* registry.c */
void on_registry_auth(struct ipc_request *req, struct registry_auth *m, struct imaged *d);
void on_image_distribution(struct ipc_request *req, struct image_distribution *m, struct imaged *d);
/* search.c */
void on_image_search(struct ipc_request *req, struct image_search *m, struct imaged *d);
/* descend.c */
void on_image_descendants(struct ipc_request *req, struct image_descendants *m, struct imaged *d);
/* lease.c */
void on_rootfs_lease(struct ipc_request *req, struct rootfs_lease *m, struct imaged *d);
void on_rootfs_release(struct ipc_request *req, struct rootfs_release *m, struct imaged *d);
void on_rootfs_reconcile(struct ipc_request *req, struct rootfs_reconcile *m, struct imaged *d);
void on_image_resolve(struct ipc_request *req, struct image_resolve *m, struct imaged *d);

#endif
