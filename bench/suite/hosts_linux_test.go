package suite

import (
	"fmt"
	"strings"
	"testing"

	"maestro/internal/netlab"
)

// hostsInNamespaces has a network between the hosts.
func hostsInNamespaces(t *testing.T) {
	if testing.Short() || Able() != nil {
		t.Skip("needs namespaces")
	}
	lab := netlab.New(t, 3, netlab.Options{GSO: true})
	prefix := strings.TrimSuffix(lab.Namespace(1), "1")
	overSSH(t, fleetOptions(t, "eth0",
		fmt.Sprintf(`exec ip netns exec %s${host#host} sh -c "$*"`, prefix)))
}
