import { join } from 'node:path'
import { asRecord } from '../../foreign-text.js'
import type { Columns } from './columns.js'
import { JsonCollection, positionOf, textOf } from './json-collection.js'
import type { LayerRole } from './messages.js'
import { fileBelow, type LayerFile, type OpenItem } from './places.js'

const UNKNOWN = {
  message: 'The audit does not state where this scan is.',
  hint: 'Repeat `freetumor data audit` with --out.',
}

/** Pairs of an audit. */
export class AuditCollection extends JsonCollection {
  readonly kind = 'audit'
  #files: Readonly<Record<string, unknown>> = {}
  #offsets: (readonly [number, number, number] | null)[] = []

  protected get file(): string {
    return join(this.path, 'audit.json')
  }

  protected itemsOf(value: Readonly<Record<string, unknown>>): readonly unknown[] {
    this.#files = asRecord(value.files) ?? {}
    this.#offsets = []
    return Array.isArray(value.pairs) ? value.pairs : []
  }

  protected add(columns: Columns, pair: Readonly<Record<string, unknown>>): void {
    const [first, second] = Array.isArray(pair.cases) ? pair.cases : []
    columns.add(
      {
        case: textOf(first),
        other: textOf(second),
        kind: textOf(pair.kind),
        leak: pair.leak === true ? 'leak' : 'no leak',
        message: textOf(pair.message),
      },
      {},
    )
    this.#offsets.push(positionOf(pair.offsetMm) ?? null)
  }

  async item(at: number): Promise<OpenItem> {
    const text = (name: string): string => this.columns.textAt(name, at)
    const place = async (caseId: string): Promise<LayerFile> => {
      const path = Object.hasOwn(this.#files, caseId) ? this.#files[caseId] : undefined
      return typeof path === 'string' ? await fileBelow(this.roots, path, 'scan') : UNKNOWN
    }
    return {
      facts: [
        ['first', text('case')],
        ['second', text('other')],
        ['finding', text('message')],
      ],
      files: new Map<LayerRole, LayerFile>([
        ['first', await place(text('case'))],
        ['second', await place(text('other'))],
      ]),
      tumorId: null,
      place: null,
      offsetMm: this.#offsets[at] ?? null,
      labels: [],
    }
  }
}
