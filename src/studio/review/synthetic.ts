import { dirname, join } from 'node:path'
import { asRecord } from '../../foreign-text.js'
import { FileFollower, type LineSink } from '../../training/line-follower.js'
import { isIgnoredName, plainLabelName } from '../../volume/labels.js'
import { openInside, readJsonInside } from '../inside.js'
import { type Collection, MAX_ITEMS, type PlacedCollection } from './collection.js'
import { Columns } from './columns.js'
import type { HostFinder } from './host-finder.js'
import type { LabelName, LayerRole, Place } from './messages.js'
import { fileBelow, type LayerFile, type OpenItem } from './places.js'

const NOT_KEPT = {
  message: 'This rejected attempt was not kept.',
  hint: 'Synthesize with --keep-rejected N to keep N of each organ.',
}
/** Columns that the page does not need. */
export const HIDDEN_COLUMNS: ReadonlySet<string> = new Set([
  'host',
  'file',
  'folder',
  'sha256',
  'x',
  'y',
  'z',
  'sizeVoxels',
])
/** Most measures of a data set: each is a column. */
const MAX_MEASURES = 40
/** Name of a file, not a path. */
const NAME = /^[^/\\\0]{1,300}\.nii(\.gz)?$/

let generations = 0
/** Number the ledgers that were read: a collection that was closed and opened again may have another ledger. */
const nextGeneration = (): number => ++generations

/** Tumors of a synthetic data set: one item for each line of its ledger. */
export class SyntheticCollection implements Collection, LineSink {
  readonly kind = 'synthetic'
  readonly path: string
  readonly root: string
  columns = new Columns()
  damagedLines = 0
  unlisted = 0
  #generation = nextGeneration()
  #spacing: number | null = null
  #labels: readonly LabelName[] | null = null
  #hosts: ReadonlyMap<string, string> | null = null
  #measures = new Set<string>()
  /** Items of a tumor that have a scan. */
  #scans = new Map<string, number[]>()
  readonly #follower: FileFollower

  constructor(
    { root, path }: PlacedCollection,
    private readonly hosts: HostFinder,
  ) {
    this.root = root
    this.path = path
    const file = join(path, 'ledger.jsonl')
    this.#follower = new FileFollower(() => openInside(root, file), file, this)
  }

  get revision(): string {
    return String(this.#generation)
  }

  async poll(): Promise<void> {
    // a reset forgets the spacing
    await this.#follower.poll()
    if (this.#spacing !== null) return
    const settings = asRecord(
      await readJsonInside(this.root, join(this.path, 'synthesis.json')).catch(() => null),
    )
    const spacing = numbersOf(settings?.spacingMm)
    this.#spacing = spacing.length === 3 ? Math.max(...spacing) : 1
  }

  reset(): void {
    this.#generation = nextGeneration()
    this.columns = new Columns()
    this.damagedLines = 0
    this.unlisted = 0
    this.#scans = new Map()
    this.#measures = new Set()
    this.#spacing = null
    this.#hosts = null
    this.#labels = null
  }

  damaged(): void {
    this.damagedLines++
  }

  line(value: unknown): void {
    const line = asRecord(value)
    if (line === undefined || typeof line.case !== 'string' || typeof line.verdict !== 'string') {
      this.damagedLines++
      return
    }
    if (this.columns.count >= MAX_ITEMS) {
      this.unlisted++
      return
    }
    const plan = asRecord(line.plan)
    const [x, y, z] = numbersOf(plan?.centreMm)
    const sides = numbersOf(plan?.boxShape)
    const accepted = nameOf(line.file)
    const file = accepted || nameOf(line.rejectedFile)
    const measures = Object.entries(asRecord(line.measures) ?? {}).filter(([name]) => this.#takes(name))
    const at = this.columns.count
    this.columns.add(
      {
        case: text(line.case),
        organ: text(line.organ),
        size: text(line.size),
        verdict: text(line.verdict),
        reason: text(line.reason),
        scan: file === '' ? 'none' : 'kept',
        ...(line.review === undefined ? {} : { review: text(line.review) }),
        host: text(line.host),
        file,
        folder: accepted !== '' ? '' : 'rejected',
        sha256: text(line.sha256),
      },
      {
        variant: numberOf(line.variant),
        tumor: numberOf(line.tumor),
        attempt: numberOf(line.attempt),
        ...Object.fromEntries(measures.map(([name, measure]) => [`measure ${name}`, numberOf(measure)])),
        x: x ?? null,
        y: y ?? null,
        z: z ?? null,
        sizeVoxels: sides.length === 3 ? Math.max(...sides) : null,
      },
    )
    if (file === '') return
    const key = tumorKey(text(line.case), numberOf(line.variant) ?? 0, numberOf(line.tumor) ?? 0)
    this.#scans.set(key, [...(this.#scans.get(key) ?? []), at])
  }

  /** Return the items of a tumor that have a scan. */
  itemsOf(caseId: string, variant: number, tumor: number): readonly number[] {
    return this.#scans.get(tumorKey(caseId, variant, tumor)) ?? []
  }

  /** Return the tumor of an item. */
  tumorAt(at: number): { case: string; variant: number; tumor: number } {
    return {
      case: this.columns.textAt('case', at),
      variant: this.columns.numberAt('variant', at) ?? 0,
      tumor: this.columns.numberAt('tumor', at) ?? 0,
    }
  }

  /** Return the SHA-256 of the synthetic scan of an item, as the ledger states it; null in ledgers of earlier versions. */
  sha256At(at: number): string | null {
    return this.columns.textAt('sha256', at) || null
  }

  /** Return the path of the synthetic scan of an item; null if none was kept. */
  scanAt(at: number): string | null {
    const file = this.columns.textAt('file', at)
    return file === '' ? null : join(this.#folderOf(at), 'imagesTr', file)
  }

  async item(at: number): Promise<OpenItem> {
    const text = (name: string): string => this.columns.textAt(name, at)
    const scan = this.scanAt(at)
    const label = text('file').replace(/_0000(\.nii(?:\.gz)?)$/, '$1')
    const own = (path: string): LayerFile => ({ root: this.root, path })
    return {
      facts: [
        ['case', `${text('case')}, variant ${this.columns.numberAt('variant', at) ?? '–'}`],
        [
          'tumor',
          `${this.columns.numberAt('tumor', at) ?? '–'}, attempt ${this.columns.numberAt('attempt', at) ?? '–'}`,
        ],
      ],
      files: new Map<LayerRole, LayerFile>([
        ['host', await this.#hostOf(text('case'), text('host'))],
        ['synthetic', scan === null ? NOT_KEPT : own(scan)],
        ['label', scan === null ? NOT_KEPT : own(join(this.#folderOf(at), 'labelsTr', label))],
        // data sets of earlier versions have no numbers of tumors
        ...(scan !== null && this.sha256At(at) !== null
          ? [['tumors', own(join(this.#folderOf(at), 'tumorsTr', label))] as const]
          : []),
      ]),
      tumorId: this.sha256At(at) === null ? null : (this.columns.numberAt('tumor', at) ?? 0) + 1,
      place: this.#placeOf(at),
      labels: await this.#labelNames(),
    }
  }

  close(): Promise<void> {
    return this.#follower.close()
  }

  /** Return whether a measure is shown; a hostile ledger may name others in each line. */
  #takes(name: string): boolean {
    if (this.#measures.size < MAX_MEASURES) this.#measures.add(name)
    return this.#measures.has(name)
  }

  #folderOf(at: number): string {
    return join(this.path, this.columns.textAt('folder', at))
  }

  async #hostOf(caseId: string, sha256: string): Promise<LayerFile> {
    if (!/^[0-9a-f]{64}$/.test(sha256))
      return { message: 'The ledger does not state the host CT.', hint: 'Synthesize the data set again.' }
    const path = (await this.#hostFiles()).get(caseId)
    const named = path === undefined ? null : await fileBelow(this.hosts.roots, path, 'host CT')
    const found = await this.hosts.find(caseId, sha256, named !== null && 'root' in named ? named : null)
    if (found !== null) return found
    const folder = path === undefined ? 'HOSTS_DIR' : dirname(path)
    return {
      message: `The host CT ${caseId} is not below the given folders.`,
      hint: `Start again with its folder: freetumor studio ${this.path} ${folder}`,
    }
  }

  #placeOf(at: number): Place | null {
    const [x, y, z, size] = ['x', 'y', 'z', 'sizeVoxels'].map((name) => this.columns.numberAt(name, at))
    if (x == null || y == null || z == null) return null
    return { centreMm: [x, y, z], sizeMm: size == null ? 30 : size * (this.#spacing ?? 1) }
  }

  /** Return the files of the hosts, as the synthesis read them. */
  async #hostFiles(): Promise<ReadonlyMap<string, string>> {
    if (this.#hosts !== null) return this.#hosts
    const list = await readJsonInside(this.root, join(this.path, 'hosts.json')).catch(() => null)
    const entries = (Array.isArray(list) ? list : []).map(asRecord)
    this.#hosts = new Map(entries.map((one) => [text(one?.case), text(one?.image)]))
    return this.#hosts
  }

  async #labelNames(): Promise<readonly LabelName[]> {
    this.#labels ??= labelNames(
      await readJsonInside(this.root, join(this.path, 'dataset.json')).catch(() => null),
    )
    return this.#labels
  }
}

/** Return the names in a list of the decathlon (id to name) or of nnU-Net (name to id). */
export function labelNames(list: unknown): LabelName[] {
  const labels = Object.entries(asRecord(asRecord(list)?.labels) ?? {}).slice(0, 256)
  return labels.flatMap(([key, value]) => {
    const [id, name] = typeof value === 'number' ? [value, key] : [Number(key), String(value)]
    if (!Number.isInteger(id) || id < 1 || isIgnoredName(name)) return []
    return [{ id, name: name.slice(0, 80), tumor: isTumorName(name) }]
  })
}

export function isTumorName(name: string): boolean {
  return /tumou?r|lesion|cancer/.test(plainLabelName(name))
}

function tumorKey(caseId: string, variant: number, tumor: number): string {
  return JSON.stringify([caseId, variant, tumor])
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 1000) : ''
}

function nameOf(value: unknown): string {
  return typeof value === 'string' && NAME.test(value) && !value.startsWith('.') ? value : ''
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function numbersOf(value: unknown): readonly number[] {
  const numbers = Array.isArray(value) ? value.slice(0, 3).map(numberOf) : []
  return numbers.every((one) => one !== null) ? (numbers as number[]) : []
}
