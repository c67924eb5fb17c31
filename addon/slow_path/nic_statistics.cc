#include "slow_path/nic_statistics.h"

#include <rte_ethdev.h>

#include <string>
#include <vector>

namespace sluice {

NicStatistics read_nic_statistics(uint16_t port_id) {
  NicStatistics statistics;
  const int count = rte_eth_xstats_get_names(port_id, nullptr, 0);
  if (count <= 0) return statistics;
  std::vector<rte_eth_xstat_name> names(static_cast<size_t>(count));
  std::vector<rte_eth_xstat> values(static_cast<size_t>(count));
  if (rte_eth_xstats_get_names(port_id, names.data(), static_cast<unsigned>(count)) != count)
    return statistics;
  if (rte_eth_xstats_get(port_id, values.data(), static_cast<unsigned>(count)) != count) return statistics;
  for (const rte_eth_xstat& value : values) {
    if (value.id >= names.size()) continue;
    const std::string name = names[value.id].name;
    if (name == "nic_forwarded_packets" || name.rfind("nic_dropped_", 0) == 0)
      statistics.finished += value.value;
    if (name == "nic_dropped_wire_full" || name == "nic_dropped_ring_full") statistics.lost += value.value;
    if (name == "nic_sent_packets") statistics.forwarded_out += value.value;
  }
  return statistics;
}

}  // namespace sluice
