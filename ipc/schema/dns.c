/* What netd tells the name server about a container. */
#include "ipc/schema/rows.h"

#define NAME_LONGEST 256

TEXT_ELEMENT(name, G_WORD, NAME_LONGEST);
TEXT_ELEMENT(address, G_IP, 45);
TEXT_ELEMENT(server, G_WORD, 64);

static const struct schema_object schema_dns_endpoint_object = {
	.name = "DnsEndpoint",
	.doc = "A container on one network.",
	.fields =
		(const struct schema_field[]){
			TEXT("Network", G_HEX64, 64, C_NETWORK, "Id of the network.", .required = true,
			     .spec = IN_CLIENTS),
			TEXT("NetworkName", G_NETWORK_REF, 128, C_NETWORK, "Its name: NAME.NETWORK is a name, too.",
			     .required = true, .spec = IN_CLIENTS),
			TEXT("Name", G_CONTAINER_NAME, NAME_LONGEST, C_NETWORK, "What its addresses are called.",
			     .required = true, .spec = IN_CLIENTS),
			LIST("Addresses", address, C_NETWORK, "Its addresses.", .spec = IN_CLIENTS),
			LIST("Names", name, C_NETWORK, "Names by which all on the network find it.",
			     .spec = IN_CLIENTS),
			MAP("Links", G_WORD, name, C_NETWORK, "Names that it alone has for others: alias to name.",
			    .spec = IN_CLIENTS),
			{0},
		},
};
OBJECT_ELEMENT(endpoint, dns_endpoint);

static const struct schema_object schema_dns_container_object = {
	.name = "DnsContainer",
	.doc = "What a container's name server says to it; netd's to dns, no client sends it.",
	.fields =
		(const struct schema_field[]){
			LIST("Endpoints", endpoint, C_NETWORK, "Its networks, the one that is asked first in front.",
			     .spec = IN_CLIENTS),
			LIST("Servers", server, C_NETWORK, "Its own name servers; none: the host's.",
			     .spec = IN_CLIENTS),
			FLAG("Forward", C_NETWORK, "It may ask others: not all its networks are internal.",
			     .spec = IN_CLIENTS),
			FLAG("Dotted", C_NETWORK,
			     "Names without a dot are asked of nobody else (an ndots option above 0).",
			     .spec = IN_CLIENTS),
			{0},
		},
};
ROOT_OBJECT(dns_container);
