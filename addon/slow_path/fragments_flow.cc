// Later fragments share the fate of their datagram's first one; those that come before it wait for it.
#include "slow_path/slow_path.h"

namespace sluice {
void SlowPath::receive_first_fragment(Packet& packet) {
  const FragmentKey key = fragment_key(packet);
  Datagram* datagram = fragments_.find(key);
  if (datagram == nullptr) {
    datagram = fragments_.create(key, whole_seconds(now_));
    if (datagram == nullptr) return drop(packet, DropReason::kFragmentLimit);
  } else if (datagram->state != DatagramState::kWaiting && datagram->state != DatagramState::kPending) {
    fragments_.restart(datagram, whole_seconds(now_));
  }
  datagram->state = DatagramState::kPending;
  packet.datagram = fragments_.handle(datagram);
  look_up(packet);
}

bool SlowPath::knows_vni(uint32_t vni) const {
  const uint8_t bits = __atomic_load_n(vnis_memory_->as<const uint8_t>() + (vni >> 3), __ATOMIC_RELAXED);
  return (bits >> (vni & 7) & 1) != 0;
}

void SlowPath::receive_later_fragment(Packet& packet) {
  const FragmentKey key = fragment_key(packet);
  Datagram* datagram = fragments_.find(key);
  if (datagram == nullptr) {
    // One that leads nowhere must not take the room of those that do, each under a VNI of its own.
    if (key.vni != kNoVni && !knows_vni(key.vni)) return drop(packet, DropReason::kUnknownVni);
    datagram = fragments_.create(key, whole_seconds(now_));
    if (datagram == nullptr) return drop(packet, DropReason::kFragmentLimit);
  }
  switch (datagram->state) {
    case DatagramState::kWaiting:
    case DatagramState::kPending: return hold_fragment(*datagram, packet);
    case DatagramState::kRule:
    case DatagramState::kDropped:
    case DatagramState::kElsewhere: return follow(*datagram, packet);
  }
}

void SlowPath::hold_fragment(Datagram& datagram, Packet& packet) {
  const bool bounded = datagram.held < FragmentTable::kMaxHeldPerDatagram;
  const bool fair = held_fragments_.may_take(datagram.key.vni);
  const uint32_t slot = bounded && fair ? hold_.take(packet) : kNone;
  if (slot == kNone) {
    // A datagram of which nothing is here would only fill the table.
    if (datagram.state == DatagramState::kWaiting && datagram.held == 0) fragments_.remove(&datagram);
    return drop(packet, DropReason::kFragmentLimit);
  }
  held_fragments_.take(datagram.key.vni);
  datagram.held++;
  if (datagram.first_held == kNone) {
    datagram.first_held = slot;
  } else {
    hold_.append(datagram.first_held, slot);
  }
}

void SlowPath::settle_dropped(uint32_t handle, DropReason reason) {
  Datagram* datagram = fragments_.get(handle);
  if (datagram == nullptr) return;
  datagram->state = DatagramState::kDropped;
  datagram->reason = reason;
  release_fragments(*datagram, 0);
}

void SlowPath::settle_translated(const Packet& first, const SessionRef& session) {
  Datagram* datagram = fragments_.get(first.datagram);
  if (datagram == nullptr) return;
  datagram->state = DatagramState::kRule;
  datagram->row = session.index;
  datagram->generation = session.row->generation;
  datagram->direction = session.direction;
  datagram->icmp_error = first.icmp_error;
  release_fragments(*datagram, first.stamp);
}

// In the order of arrival; they leave with the time of the fragment that set them free.
void SlowPath::release_fragments(Datagram& datagram, Nanoseconds stamp) {
  uint32_t slot = datagram.first_held;
  datagram.first_held = kNone;
  datagram.held = 0;
  while (slot != kNone) {
    const uint32_t next = hold_.next(slot);
    Packet packet = hold_.packet(slot);
    hold_.give_back(slot);
    held_fragments_.give_back(datagram.key.vni);
    if (options_.replay) fields_.stamp(packet.context.mbuf) = packet.stamp = stamp;
    packet.received = now_;
    packet.context.now_seconds = whole_seconds(now_);
    follow(datagram, packet);
    slot = next;
  }
}

void SlowPath::follow(const Datagram& datagram, Packet& packet) {
  if (datagram.state == DatagramState::kDropped) return drop(packet, datagram.reason);
  if (datagram.state == DatagramState::kElsewhere) return hand_over(packet, datagram.shard);
  const SessionRef session = sessions_.find(datagram.row, datagram.generation, datagram.direction);
  FlowRule* rule = session ? software_rule(session, session.direction) : nullptr;
  if (rule == nullptr) return drop(packet, DropReason::kNoBinding);  // the session ended meanwhile
  packet.icmp_error = datagram.icmp_error;
  if (packet.icmp_error) return deliver_icmp_error(packet, rule, session);
  translate(packet, rule, session);
}

void SlowPath::expire_fragments() {
  const uint32_t seconds = whole_seconds(now_);
  for (Datagram* oldest = fragments_.oldest(); oldest != nullptr && oldest->deadline_seconds <= seconds;
       oldest = fragments_.oldest()) {
    remove_datagram(*oldest, DropReason::kFragmentTimeout);
  }
}

void SlowPath::remove_datagram(Datagram& datagram, DropReason reason) {
  uint32_t slot = datagram.first_held;
  datagram.first_held = kNone;
  while (slot != kNone) {
    const uint32_t next = hold_.next(slot);
    Packet packet = hold_.packet(slot);
    hold_.give_back(slot);
    held_fragments_.give_back(datagram.key.vni);
    drop(packet, reason);
    slot = next;
  }
  fragments_.remove(&datagram);
}

void SlowPath::drop_fragments() {
  while (Datagram* oldest = fragments_.oldest()) remove_datagram(*oldest, DropReason::kFragmentTimeout);
}

}  // namespace sluice
