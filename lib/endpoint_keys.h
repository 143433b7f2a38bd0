/* Keys of an endpoint's DriverOpts that mean something: to netd, which does it, and to the policy, which admits it. */
#ifndef POUCH_LIB_ENDPOINT_KEYS_H
#define POUCH_LIB_ENDPOINT_KEYS_H

#define ENDPOINT_SYSCTLS "com.docker.network.endpoint.sysctls" /* "net.ipv4.conf.IFNAME.KEY=VALUE,…" */
#define ENDPOINT_DEVICE	 "com.docker.network.endpoint.ifname"

#endif
