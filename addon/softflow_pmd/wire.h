// The ethdev under a softflow port: found or probed, owned, configured and started with it.
#pragma once

#include "softflow_pmd/device.h"

namespace sluice::softflow {

// Finds the ethdev named arguments.wire_name or probes a virtual device of that name, and owns it. 0 or
// -errno.
int attach_wire(Device& device);
void detach_wire(Device& device);

// With as many receive queues as the port has, where the wire can, and all its transmit queues.
int start_wire(Device& device);
void stop_wire(Device& device);
// Where the wire has an MTU to set; one that states a limit below what it carries is left alone.
void set_wire_mtu(const Device& device, uint16_t mtu);

}  // namespace sluice::softflow
