import { Transform, type TransformCallback } from 'node:stream';
import type { FlowEntry } from '../controller/flow-dump.js';
import { Columns } from './columns.js';
import { FLOW_COLUMNS, SAMPLE_ROWS } from './flow-table.js';
import type { Terminal } from './terminal.js';

const NEWLINE = 10;

/** JSON lines as one JSON array, an element a line, without reading them. */
export class JsonArray extends Transform {
  private isFirst = true;

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    // A line's end becomes a comma once another line is known to follow.
    const text = chunk.toString('latin1');
    const ends = text.endsWith('\n');
    const body = (ends ? text.slice(0, -1) : text).replaceAll('\n', ',\n');
    this.push(Buffer.from(this.before() + body, 'latin1'));
    this.pending = ends;
    done();
  }

  private pending = false;

  private before(): string {
    if (this.isFirst) {
      this.isFirst = false;
      return '[\n';
    }
    return this.pending ? ',\n' : '';
  }

  override _flush(done: TransformCallback): void {
    this.push(this.isFirst ? '[]\n' : '\n]\n');
    done();
  }
}

/** JSON lines as a table whose lines come as the flows do. */
export class TableLines extends Transform {
  private rest: Buffer = Buffer.alloc(0);
  private sample: FlowEntry[] = [];
  private columns: Columns<FlowEntry> | null = null;

  constructor(private readonly onto: Terminal) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    const all = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const end = all.lastIndexOf(NEWLINE) + 1;
    this.rest = all.subarray(end);
    const flows = all
      .toString('utf8', 0, end)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as FlowEntry);
    this.print(flows);
    done();
  }

  override _flush(done: TransformCallback): void {
    if (this.columns === null) this.begin();
    done();
  }

  private print(flows: readonly FlowEntry[]): void {
    const { columns } = this;
    if (columns !== null) {
      if (flows.length > 0) this.push(flows.map((flow) => `${columns.row(flow)}\n`).join(''));
      return;
    }
    this.sample.push(...flows);
    if (this.sample.length >= SAMPLE_ROWS) this.begin();
  }

  private begin(): void {
    this.columns = new Columns(FLOW_COLUMNS, this.sample, this.onto);
    this.push(`${this.columns.head()}\n`);
    this.print(this.sample);
    this.sample = [];
  }
}
