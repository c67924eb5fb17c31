import { Histogram } from 'prom-client';
import { type DataplaneStatistics, FIRST_PACKET_BOUNDS } from '../native/binding.js';

const NAME = 'sluice_first_packet_seconds';
const HELP = 'From the receipt of a first packet until it left translated.';
const MICROSECONDS = 1e-6;

/** A histogram that the lcore keeps: its buckets are copied at each scrape. */
export class FirstPackets extends Histogram {
  private counted: DataplaneStatistics['firstPackets'] = { buckets: [], nanoseconds: 0 };

  constructor() {
    super({ name: NAME, help: HELP, buckets: [], registers: [] });
  }

  read(counted: DataplaneStatistics['firstPackets']): void {
    this.counted = counted;
  }

  /** What the registry asks histograms for; no part of the library's types. */
  getForPromString(): ReturnType<Histogram['get']> {
    return this.get();
  }

  override async get(): ReturnType<Histogram['get']> {
    const values: { metricName: string; labels: { le?: string | number }; value: number }[] = [];
    let below = 0;
    FIRST_PACKET_BOUNDS.forEach((bound, i) => {
      below += this.counted.buckets[i] ?? 0;
      values.push({
        metricName: `${NAME}_bucket`,
        labels: { le: Number((bound * MICROSECONDS).toPrecision(3)) },
        value: below,
      });
    });
    below += this.counted.buckets[FIRST_PACKET_BOUNDS.length] ?? 0;
    values.push({ metricName: `${NAME}_bucket`, labels: { le: '+Inf' }, value: below });
    values.push({ metricName: `${NAME}_sum`, labels: {}, value: this.counted.nanoseconds * 1e-9 });
    values.push({ metricName: `${NAME}_count`, labels: {}, value: below });
    return { name: NAME, help: HELP, type: 'histogram', aggregator: 'sum', values } as unknown as Awaited<
      ReturnType<Histogram['get']>
    >;
  }
}
