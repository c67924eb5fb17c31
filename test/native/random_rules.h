// Rules and packets at random, of few values, so that they meet.
#pragma once

#include <map>
#include <random>

#include "support.h"

namespace sluice::test {

using Random = std::mt19937_64;

bool chance(Random& random, unsigned percent);
Bytes random_packet(Random& random);
// Items of one layer and, of a tunnel, what is in it. `reached` counts what was made; `vxlan` and `udp_item` tell
// whether there is such an item.
void add_layer(Random& random, Rule* rule, bool inner, std::map<std::string, uint64_t>* reached, bool* vxlan,
               bool* udp_item);
void add_registers(Random& random, Rule* rule);
// Actions that the rule's items allow.
void add_actions(Random& random, Rule* rule, bool vxlan, bool has_ports);
// Nine rules of one form, so that they share a table too large to be compared rule by rule.
std::vector<std::unique_ptr<Rule>> family(Random& random);

}  // namespace sluice::test
