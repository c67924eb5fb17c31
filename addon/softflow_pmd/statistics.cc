// Statistics: the basic ones are the application's packets; what the NIC did alone is in the extended ones.
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "softflow_pmd/device.h"
#include "softflow_pmd/domain.h"

namespace sluice::softflow {
namespace {

struct Totals {
  RxCounters rx;
  uint64_t sent_packets = 0, sent_bytes = 0;  // by the application
};

void add_up(const GroupCounters& queue, GroupCounters* sum) {
  for (size_t group = 0; group <= GroupCounters::kShown; ++group) {
    sum->hits[group] += queue.hits[group];
    sum->misses[group] += queue.misses[group];
  }
}

Totals add_up(const Device& device) {
  Totals totals;
  for (uint16_t i = 0; i < device.data->nb_rx_queues; ++i) {
    const RxCounters& queue = device.rx[i].counters;
    totals.rx.wire_packets += queue.wire_packets;
    totals.rx.wire_bytes += queue.wire_bytes;
    totals.rx.packets += queue.packets;
    totals.rx.bytes += queue.bytes;
    totals.rx.missed += queue.missed;
    totals.rx.bypassed += queue.bypassed;
    totals.rx.forwarded_packets += queue.forwarded_packets;
    totals.rx.forwarded_bytes += queue.forwarded_bytes;
    for (size_t reason = 0; reason < kNicDrops; ++reason) totals.rx.dropped[reason] += queue.dropped[reason];
    add_up(queue.transfer, &totals.rx.transfer);
    add_up(queue.ingress, &totals.rx.ingress);
  }
  for (uint16_t i = 0; i < device.data->nb_tx_queues; ++i) {
    totals.sent_packets += device.tx[i].packets;
    totals.sent_bytes += device.tx[i].bytes;
  }
  return totals;
}

struct Statistic {
  const char* name;
  uint64_t (*value)(const Device&, const Totals&);
};

template <NicDrop kReason>
uint64_t dropped(const Device&, const Totals& totals) {
  return totals.rx.dropped[static_cast<size_t>(kReason)];
}

template <GroupCounters RxCounters::*kDomain, uint64_t (GroupCounters::*kWhat)[GroupCounters::kShown + 1],
          size_t kGroup>
uint64_t looked_up(const Device&, const Totals& totals) {
  return (totals.rx.*kDomain.*kWhat)[kGroup];
}

#define SOFTFLOW_GROUP(domain, label, group)                                                           \
  {#domain "_group_" label "_hits", looked_up<&RxCounters::domain, &GroupCounters::hits, group>}, {    \
#domain "_group_" label "_misses", looked_up < &RxCounters::domain, &GroupCounters::misses, group> \
  }
#define SOFTFLOW_GROUPS(domain)                                                                   \
  SOFTFLOW_GROUP(domain, "0", 0), SOFTFLOW_GROUP(domain, "1", 1), SOFTFLOW_GROUP(domain, "2", 2), \
      SOFTFLOW_GROUP(domain, "3", 3), SOFTFLOW_GROUP(domain, "other", GroupCounters::kShown)

constexpr Statistic kStatistics[] = {
    {"wire_rx_packets", [](const Device&, const Totals& t) { return t.rx.wire_packets; }},
    {"wire_rx_bytes", [](const Device&, const Totals& t) { return t.rx.wire_bytes; }},
    {"wire_tx_packets",
     [](const Device& d, const Totals& t) {
       return t.sent_packets + d.nic_sent_packets.load(std::memory_order_relaxed);
     }},
    {"wire_tx_bytes",
     [](const Device& d, const Totals& t) {
       return t.sent_bytes + d.nic_sent_bytes.load(std::memory_order_relaxed);
     }},
    // Arrived on this port's wire and left on one without the application seeing them.
    {"nic_forwarded_packets", [](const Device&, const Totals& t) { return t.rx.forwarded_packets; }},
    {"nic_forwarded_bytes", [](const Device&, const Totals& t) { return t.rx.forwarded_bytes; }},
    // Left on this port's wire by a rule's decision.
    {"nic_sent_packets",
     [](const Device& d, const Totals&) { return d.nic_sent_packets.load(std::memory_order_relaxed); }},
    {"nic_sent_bytes",
     [](const Device& d, const Totals&) { return d.nic_sent_bytes.load(std::memory_order_relaxed); }},
    {"application_missed_packets", [](const Device&, const Totals& t) { return t.rx.missed; }},
    {"application_bypassed_packets", [](const Device&, const Totals& t) { return t.rx.bypassed; }},
    {"nic_dropped_rule", dropped<NicDrop::kRule>},
    {"nic_dropped_no_headroom", dropped<NicDrop::kNoHeadroom>},
    {"nic_dropped_too_long", dropped<NicDrop::kTooLong>},
    {"nic_dropped_no_inner_frame", dropped<NicDrop::kNoInnerFrame>},
    {"nic_dropped_no_port", dropped<NicDrop::kNoPort>},
    {"nic_dropped_wire_full", dropped<NicDrop::kWireFull>},
    {"nic_dropped_ring_full", dropped<NicDrop::kRingFull>},
    // Packets that a group's rules were asked about, while there were any.
    SOFTFLOW_GROUPS(transfer),
    SOFTFLOW_GROUPS(ingress),
    {"rules", [](const Device& d, const Totals&) { return static_cast<uint64_t>(d.rules); }},
};
constexpr unsigned kCount = std::size(kStatistics);

}  // namespace

int statistics_get(rte_eth_dev* dev, rte_eth_stats* stats) {
  const Device& device = Device::of(dev);
  const Totals totals = add_up(device);
  stats->ipackets = totals.rx.packets;
  stats->ibytes = totals.rx.bytes;
  stats->opackets = totals.sent_packets;
  stats->obytes = totals.sent_bytes;
  stats->imissed = totals.rx.dropped[static_cast<size_t>(NicDrop::kRingFull)];
  for (uint16_t i = 0; i < device.data->nb_rx_queues && i < RTE_ETHDEV_QUEUE_STAT_CNTRS; ++i) {
    stats->q_ipackets[i] = device.rx[i].counters.packets;
    stats->q_ibytes[i] = device.rx[i].counters.bytes;
  }
  for (uint16_t i = 0; i < device.data->nb_tx_queues && i < RTE_ETHDEV_QUEUE_STAT_CNTRS; ++i) {
    stats->q_opackets[i] = device.tx[i].packets;
    stats->q_obytes[i] = device.tx[i].bytes;
  }
  return 0;
}

int statistics_reset(rte_eth_dev* dev) {
  Device& device = Device::of(dev);
  for (RxQueue& queue : device.rx) queue.counters = RxCounters{};
  for (TxQueue& queue : device.tx) queue.packets = queue.bytes = queue.refused = 0;
  device.nic_sent_packets.store(0);
  device.nic_sent_bytes.store(0);
  return 0;
}

int extended_statistics_get(rte_eth_dev* dev, rte_eth_xstat* stats, unsigned count) {
  if (stats == nullptr || count < kCount) return kCount;
  const Device& device = Device::of(dev);
  const Totals totals = add_up(device);
  for (unsigned i = 0; i < kCount; ++i) {
    stats[i].id = i;
    stats[i].value = kStatistics[i].value(device, totals);
  }
  return kCount;
}

int extended_statistics_names(rte_eth_dev*, rte_eth_xstat_name* names, unsigned count) {
  if (names == nullptr || count < kCount) return kCount;
  for (unsigned i = 0; i < kCount; ++i) {
    std::snprintf(names[i].name, sizeof names[i].name, "%s", kStatistics[i].name);
  }
  return kCount;
}

}  // namespace sluice::softflow
