// A template of the software table, less what the slow path does itself.
#pragma once

#include "flow_port/rule_template.h"
#include "slow_path/slow_path.h"

namespace sluice {

// COUNT and AGE go: time and number of a session's packets are written down by translate() and deliver(), for
// which a packet that leaves in pieces is one and an error that is translated none. So does what receive()
// has made sure of before a packet in VXLAN is looked up: its port, the tunnel's UDP port, its inner
// destination MAC.
TemplateSource software_template(TemplateSource source, const SlowPathOptions& options);

}  // namespace sluice
