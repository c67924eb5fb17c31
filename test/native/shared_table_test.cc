// What lcores read of the shards' shared tables while a writer, TypeScript's, has stopped in the middle of a change.
#include <cstring>
#include <new>

#include "slow_path/shared_table.h"
#include "slow_path/steering.h"
#include "support.h"

namespace sluice::test {
namespace {

constexpr size_t kSlots = 8;
constexpr uint32_t kAddress = 0xcb007105;

SharedRegion table_memory() {
  return std::make_shared<MemoryRegion>(sizeof(SharedTableHeader) + kSlots * sizeof(SharedTableEntry));
}

// Wherever the key would stand, it does.
void write_all(const SharedRegion& region, uint32_t a, uint32_t b, uint32_t c, uint32_t value) {
  auto* entries = reinterpret_cast<SharedTableEntry*>(region->as<SharedTableHeader>() + 1);
  for (size_t i = 0; i < kSlots; ++i) {
    entries[i].a = a;
    entries[i].b = b;
    entries[i].c = c;
    entries[i].value = value;
  }
}

TEST(slots_of_a_table_are_a_power_of_two) {
  for (const size_t good : {32, 48, 80, 144, 16 + 16 * 1024}) CHECK(SharedTable::is_size(good));
  for (const size_t bad : {0, 15, 16, 17, 40, 47, 64, 112, 16 + 16 * 1000}) CHECK(!SharedTable::is_size(bad));
}

TEST(a_reader_goes_on_while_a_writer_stands_in_the_middle_of_a_change) {
  const SharedRegion region = table_memory();
  write_all(region, 1, 2, 3, 7);
  const SharedTable table(region);
  CHECK_EQ(table.get(1, 2, 3), 7u);
  region->as<SharedTableHeader>()->sequence = 5;
  CHECK_EQ(table.get(1, 2, 3), 7u);
  CHECK_EQ(table.get(1, 2, 4), 0u);
}

TEST(a_value_that_is_another_key_s_names_no_shard_that_there_is_not) {
  const SharedRegion blocks = table_memory(), remotes = table_memory();
  SteeringSource source;
  source.vpcs.push_back({100, 0});
  source.external.push_back({kAddress, kAddress});
  const Steering steering(source, 2, blocks, remotes);
  FlowKey flow = {};
  flow.protocol = 47;
  flow.source = 0x08080808;
  flow.destination = kAddress;
  remotes->as<SharedTableHeader>()->sequence = 1;
  constexpr uint32_t kOutside = 0xffff;
  for (const uint32_t value : {1u, 2u, 3u, 17u, 0x4000'0200u, UINT32_MAX}) {
    write_all(remotes, kOutside << kRemoteProtocolBits | flow.protocol, flow.source, flow.destination, value);
    const uint16_t owner = steering.owner(flow, false);
    CHECK(owner < 2);
    if (value <= 2) CHECK_EQ(owner, value - 1);
  }
}

}  // namespace
}  // namespace sluice::test
