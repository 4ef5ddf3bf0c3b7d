import { join } from 'node:path'
import { asRecord } from '../../foreign-text.js'
import { FileFollower, type LineSink } from '../../training/line-follower.js'
import { openInside, readJsonInside } from '../inside.js'
import { type Collection, MAX_ITEMS, type PlacedCollection } from './collection.js'
import { Columns } from './columns.js'
import type { LabelName, LayerRole } from './messages.js'
import { fileBelow, type LayerFile, type OpenItem } from './places.js'

const UNKNOWN = {
  message: 'The evaluation does not state where its files are.',
  hint: 'Repeat `freetumor evaluate` with --out.',
}
const NO_SCAN = { message: 'The evaluation has no scan.', hint: 'Repeat `freetumor evaluate` with --images.' }
const ROLES = ['scan', 'label', 'prediction'] as const

/** Files of `files.json`, which `evaluate` writes. */
interface EvaluatedFiles {
  readonly cases: ReadonlyMap<string, Readonly<Record<string, unknown>>>
  readonly labels: readonly LabelName[]
}

/** Cases and lesions of an evaluation. */
export class EvaluationCollection implements Collection, LineSink {
  readonly kind = 'evaluation'
  readonly path: string
  readonly root: string
  columns = new Columns()
  damagedLines = 0
  unlisted = 0
  #generation = 1
  #files: EvaluatedFiles | null = null
  readonly #follower: FileFollower

  constructor(
    { root, path }: PlacedCollection,
    private readonly roots: readonly string[],
  ) {
    this.root = root
    this.path = path
    const file = join(path, 'measures.jsonl')
    this.#follower = new FileFollower(() => openInside(root, file), file, this)
  }

  get revision(): string {
    return String(this.#generation)
  }

  async poll(): Promise<void> {
    await this.#follower.poll()
  }

  reset(): void {
    this.#generation++
    this.columns = new Columns()
    this.damagedLines = 0
    this.unlisted = 0
    this.#files = null
  }

  damaged(): void {
    this.damagedLines++
  }

  line(value: unknown): void {
    const measured = asRecord(value)
    if (measured === undefined || typeof measured.caseId !== 'string') {
      this.damagedLines++
      return
    }
    const caseId = measured.caseId.slice(0, 1000)
    const labels = listOf(measured.labels)
    const scores = labels.flatMap(({ dice }) => numberOf(dice) ?? [])
    const mean = scores.length === 0 ? null : scores.reduce((sum, one) => sum + one, 0) / scores.length
    const tumor = asRecord(measured.tumor)
    this.#add(
      { case: caseId, kind: 'whole case' },
      { dice: tumor === undefined ? mean : numberOf(tumor.dice), volumeMl: null, diameterMm: null },
      null,
    )
    for (const lesion of listOf(measured.lesions)) {
      const truth = lesion.kind === 'true'
      const found = lesion.matched === true
      const kind = truth
        ? found
          ? 'detected lesion'
          : 'missed lesion'
        : found
          ? 'predicted lesion'
          : 'false positive'
      this.#add(
        { case: caseId, kind },
        { dice: null, volumeMl: numberOf(lesion.volumeMl), diameterMm: numberOf(lesion.diameterMm) },
        lesion,
      )
    }
  }

  async item(at: number): Promise<OpenItem> {
    const files = await this.#readFiles()
    const caseId = this.columns.textAt('case', at)
    const named = files.cases.get(caseId)
    const place = async (role: (typeof ROLES)[number]): Promise<LayerFile> => {
      const path = named?.[role]
      if (typeof path === 'string') return await fileBelow(this.roots, path, role)
      return named !== undefined && role === 'scan' ? NO_SCAN : UNKNOWN
    }
    const [x, y, z, size] = ['x', 'y', 'z', 'diameterMm'].map((name) => this.columns.numberAt(name, at))
    return {
      facts: [['case', caseId]],
      files: new Map<LayerRole, LayerFile>(
        await Promise.all(ROLES.map(async (role) => [role, await place(role)] as const)),
      ),
      tumorId: null,
      place: x == null || y == null || z == null ? null : { centreMm: [x, y, z], sizeMm: size ?? 20 },
      labels: files.labels,
    }
  }

  close(): Promise<void> {
    return this.#follower.close()
  }

  #add(
    texts: Readonly<Record<string, string>>,
    numbers: Readonly<Record<string, number | null>>,
    lesion: Readonly<Record<string, unknown>> | null,
  ): void {
    if (this.columns.count >= MAX_ITEMS) {
      this.unlisted++
      return
    }
    const centre = Array.isArray(lesion?.centreMm) ? lesion.centreMm : []
    const [x, y, z] = centre.map(numberOf)
    this.columns.add(texts, { ...numbers, x: x ?? null, y: y ?? null, z: z ?? null })
  }

  async #readFiles(): Promise<EvaluatedFiles> {
    if (this.#files !== null) return this.#files
    const found = asRecord(await readJsonInside(this.root, join(this.path, 'files.json')))
    const cases = listOf(found?.cases).flatMap((one) =>
      typeof one.case === 'string' ? [[one.case, one] as const] : [],
    )
    const labels = listOf(found?.labels).flatMap(({ id, name, tumor }) =>
      Number.isInteger(id)
        ? [{ id: id as number, name: String(name).slice(0, 80), tumor: tumor === true }]
        : [],
    )
    this.#files = { cases: new Map(cases), labels }
    return this.#files
  }
}

function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(asRecord).filter((one) => one !== undefined) : []
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}
