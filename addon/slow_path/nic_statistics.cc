#include "slow_path/nic_statistics.h"

#include <rte_ethdev.h>

#include <string>

namespace sluice {

NicStatisticsReader::NicStatisticsReader(uint16_t port_id) : port_id_(port_id) {
  const int count = rte_eth_xstats_get_names(port_id, nullptr, 0);
  if (count <= 0) return;
  std::vector<rte_eth_xstat_name> names(static_cast<size_t>(count));
  if (rte_eth_xstats_get_names(port_id, names.data(), static_cast<unsigned>(count)) != count) return;
  for (uint64_t id = 0; id < names.size(); id++) {
    const std::string name = names[id].name;
    const Meaning meaning = {name == "nic_forwarded_packets" || name.rfind("nic_dropped_", 0) == 0,
                             name == "nic_sent_packets",
                             name == "nic_dropped_wire_full" || name == "nic_dropped_ring_full",
                             name == "nic_forwarded_bytes"};
    if (!meaning.finished && !meaning.forwarded_out && !meaning.lost && !meaning.bytes) continue;
    ids_.push_back(id);
    meanings_.push_back(meaning);
  }
}

NicStatistics NicStatisticsReader::read() const {
  NicStatistics statistics;
  if (ids_.empty()) return statistics;
  std::vector<uint64_t> values(ids_.size());
  const auto count = static_cast<unsigned>(ids_.size());
  if (rte_eth_xstats_get_by_id(port_id_, ids_.data(), values.data(), count) != static_cast<int>(count))
    return statistics;
  for (size_t i = 0; i < values.size(); i++) {
    if (meanings_[i].finished) statistics.finished += values[i];
    if (meanings_[i].forwarded_out) statistics.forwarded_out += values[i];
    if (meanings_[i].lost) statistics.lost += values[i];
    if (meanings_[i].bytes) statistics.bytes += values[i];
  }
  return statistics;
}

}  // namespace sluice
