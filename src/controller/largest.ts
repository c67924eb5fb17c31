/** Keeps the elements with the largest keys, as many as asked for: a heap with the smallest one on top. */
export class Largest<T> {
  private readonly heap: { readonly key: number; readonly order: number; readonly element: T }[] = [];
  private added = 0;

  constructor(private readonly most: number) {}

  /** Of equal keys the one that came first stays. */
  add(key: number, element: T): void {
    const order = this.added++;
    const { heap } = this;
    if (heap.length < this.most) {
      heap.push({ key, order, element });
      this.rise(heap.length - 1);
    } else if (this.most > 0 && key > heap[0].key) {
      heap[0] = { key, order, element };
      this.sink();
    }
  }

  /** @returns What was kept, largest first. */
  inOrder(): T[] {
    return [...this.heap].sort((a, b) => b.key - a.key || a.order - b.order).map(({ element }) => element);
  }

  private isSmaller(a: number, b: number): boolean {
    const { heap } = this;
    return heap[a].key < heap[b].key || (heap[a].key === heap[b].key && heap[a].order > heap[b].order);
  }

  private swap(a: number, b: number): void {
    const { heap } = this;
    [heap[a], heap[b]] = [heap[b], heap[a]];
  }

  private rise(from: number): void {
    for (let i = from; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!this.isSmaller(i, parent)) return;
      this.swap(i, parent);
      i = parent;
    }
  }

  private sink(): void {
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < this.heap.length && this.isSmaller(child, least)) least = child;
      }
      if (least === i) return;
      this.swap(i, least);
      i = least;
    }
  }
}
