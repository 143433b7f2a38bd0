/* Networks: of a container to create, to create, to connect and to disconnect. */
#include "ipc/schema/rows.h"

#define DOCKER .spec = IN_DOCKER

TEXT_ELEMENT(word, G_WORD, 256);
TEXT_ELEMENT(address, G_IP, 45);

static const struct schema_object schema_endpoint_ipam_config_object = {
	.name = "EndpointIPAMConfig",
	.doc = "Addresses that the container asks for.",
	.fields =
		(const struct schema_field[]){
			TEXT("IPv4Address", G_IPV4, 15, C_NETWORK, "IPv4 address.", DOCKER),
			TEXT("IPv6Address", G_IPV6, 45, C_NETWORK, "IPv6 address.", DOCKER),
			LIST("LinkLocalIPs", address, C_NETWORK, "Further link-local addresses.", DOCKER),
			{0},
		},
};

const struct schema_object schema_endpoint_settings_object = {
	.name = "EndpointSettings",
	.doc = "A container's place in one network.",
	.fields =
		(const struct schema_field[]){
			OBJECT("IPAMConfig", endpoint_ipam_config, C_NETWORK, "Addresses asked for.", DOCKER),
			LIST("Links", word, C_NETWORK, "Other containers by a name of one's own: container:alias."),
			TEXT("MacAddress", G_MAC, 17, C_NETWORK, "Ethernet address."),
			LIST("Aliases", word, C_NETWORK, "Further names on this network."),
			MAP("DriverOpts", G_BYTES, schema_option_element, C_NETWORK, "Options of the driver."),
			INT("GwPriority", INT32_MIN, INT32_MAX, C_NETWORK,
			    "The network with the highest one gives the default route (Docker: from 1.48 on).",
			    .spec = IN_CLIENTS),
			ANSWER("NetworkID", "Id of the network."),
			ANSWER("EndpointID", "Id of this endpoint."),
			ANSWER("Gateway", "IPv4 gateway."),
			ANSWER("IPAddress", "IPv4 address it has."),
			ANSWER("IPPrefixLen", "Its prefix length."),
			ANSWER("IPv6Gateway", "IPv6 gateway."),
			ANSWER("GlobalIPv6Address", "IPv6 address it has."),
			ANSWER("GlobalIPv6PrefixLen", "Its prefix length."),
			ANSWER("DNSNames", "Names under which it is found.", DOCKER),
			{0},
		},
};
ROOT_OBJECT(endpoint_settings);
OBJECT_ELEMENT(endpoint, endpoint_settings);

const struct schema_object schema_networking_config_object = {
	.name = "NetworkingConfig",
	.doc = "The networks of a container to create.",
	.fields =
		(const struct schema_field[]){
			MAP("EndpointsConfig", G_WORD, endpoint, C_NETWORK,
			    "Its place in each, by the network's name or id."),
			{0},
		},
};
ROOT_OBJECT(networking_config);

static const struct schema_object schema_ipam_config_object = {
	.name = "IPAMConfig",
	.doc = "A pool of addresses.",
	.fields =
		(const struct schema_field[]){
			TEXT("Subnet", G_CIDR, 49, C_NETWORK, "Subnet.", DOCKER),
			TEXT("IPRange", G_CIDR, 49, C_NETWORK, "Where in it containers' addresses are taken from.",
			     DOCKER),
			TEXT("Gateway", G_IP, 45, C_NETWORK, "The host's address in it; the first when empty.", DOCKER),
			MAP("AuxiliaryAddresses", G_WORD, address, C_NETWORK, "Addresses that are taken, by name.",
			    DOCKER),
			{0},
		},
};
OBJECT_ELEMENT(ipam_config, ipam_config);

static const struct schema_object schema_ipam_object = {
	.name = "IPAM",
	.doc = "Where a network's addresses come from.",
	.fields =
		(const struct schema_field[]){
			TEXT("Driver", G_NAME, 128, C_NETWORK, "Driver; default when empty.", DOCKER),
			LIST("Config", ipam_config, C_NETWORK, "Pools; the engine chooses one when there is none.",
			     DOCKER),
			MAP("Options", G_BYTES, schema_option_element, C_NETWORK, "Options of the driver.", DOCKER),
			{0},
		},
};

static const struct schema_object schema_config_reference_object = {
	.name = "ConfigReference",
	.doc = "A network that is a configuration.",
	.fields =
		(const struct schema_field[]){
			TEXT("Network", G_NETWORK_REF, 128, C_NETWORK, "Its name or id.", DOCKER),
			{0},
		},
};

static const struct schema_object schema_network_create_object = {
	.name = "NetworkCreate",
	.doc = "A network to create.",
	.fields =
		(const struct schema_field[]){
			TEXT("Name", G_NETWORK_REF, 128, C_NETWORK, "Name.", .required = true, DOCKER),
			FLAG("CheckDuplicate", C_PLAIN, "Taken: a name is always unique.", DOCKER),
			TEXT("Driver", G_NAME, 128, C_NETWORK, "bridge, macvlan or ipvlan; bridge when empty.", DOCKER),
			TEXT("Scope", G_NAME, 32, C_NETWORK, "local; others are for a swarm.", DOCKER),
			FLAG("Internal", C_NETWORK, "Nothing outside can be reached.", DOCKER),
			FLAG("Attachable", C_NETWORK, "Taken: containers can always be connected to a local network.",
			     DOCKER),
			REFUSED("Ingress", "is only for a swarm", DOCKER),
			FLAG("ConfigOnly", C_NETWORK, "A configuration that other networks are made from.", DOCKER),
			OBJECT("ConfigFrom", config_reference, C_NETWORK, "The configuration that it is made from.",
			       DOCKER),
			OBJECT("IPAM", ipam, C_NETWORK, "Its addresses.", DOCKER),
			FLAG("EnableIPv4", C_NETWORK, "IPv4, on by default.", DOCKER, .since = 47),
			FLAG("EnableIPv6", C_NETWORK, "IPv6.", DOCKER),
			MAP("Options", G_BYTES, schema_option_element, C_NETWORK, "Options of the driver.", DOCKER),
			MAP("Labels", G_BYTES, schema_label_element, C_PLAIN, "Labels.", DOCKER),
			{0},
		},
};
ROOT_OBJECT(network_create);

static const struct schema_object schema_network_connect_object = {
	.name = "NetworkConnect",
	.doc = "A container to connect to a network.",
	.fields =
		(const struct schema_field[]){
			TEXT("Container", G_CONTAINER_REF, 256, C_NETWORK, "Its name or id.", .required = true, DOCKER),
			OBJECT("EndpointConfig", endpoint_settings, C_NETWORK, "Its place in the network.", DOCKER),
			{0},
		},
};
ROOT_OBJECT(network_connect);

static const struct schema_object schema_network_disconnect_object = {
	.name = "NetworkDisconnect",
	.doc = "A container to disconnect from a network.",
	.fields =
		(const struct schema_field[]){
			TEXT("Container", G_CONTAINER_REF, 256, C_NETWORK, "Its name or id.", .required = true, DOCKER),
			FLAG("Force", C_NETWORK, "Also when it is gone.", DOCKER),
			{0},
		},
};
ROOT_OBJECT(network_disconnect);
