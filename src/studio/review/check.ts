import type { Columns } from './columns.js'
import { JsonCollection, positionOf, textOf } from './json-collection.js'
import type { LayerRole } from './messages.js'
import { fileBelow, type LayerFile, type OpenItem } from './places.js'

/** Findings of `data check --output json`. */
export class CheckCollection extends JsonCollection {
  readonly kind = 'check'
  #places: {
    readonly file: string
    readonly image: string
    readonly at: readonly [number, number, number] | null
  }[] = []

  protected get file(): string {
    return this.path
  }

  protected itemsOf(value: Readonly<Record<string, unknown>>): readonly unknown[] {
    this.#places = []
    return Array.isArray(value.findings) ? value.findings : []
  }

  protected add(columns: Columns, finding: Readonly<Record<string, unknown>>): void {
    const [severity, rule, caseId] = [finding.severity, finding.rule, finding.case].map(textOf)
    columns.add(
      {
        case: caseId!,
        rule: rule!,
        severity: severity!,
        message: textOf(finding.message),
        fix: textOf(finding.fix),
      },
      {},
    )
    this.#places.push({
      file: textOf(finding.file),
      image: textOf(finding.image),
      at: positionOf(finding.placeMm) ?? null,
    })
  }

  async item(at: number): Promise<OpenItem> {
    const text = (name: string): string => this.columns.textAt(name, at)
    const { file, image, at: centreMm } = this.#places[at] ?? { file: '', image: '', at: null }
    const files = new Map<LayerRole, LayerFile>()
    if (image !== '') files.set('scan', await fileBelow(this.roots, image, 'scan'))
    if (file !== image && file !== '')
      files.set(image === '' ? 'scan' : 'label', await fileBelow(this.roots, file, 'file'))
    return {
      facts: [
        ['case', text('case')],
        ['rule', text('rule')],
        ['finding', text('message')],
        ['fix', text('fix')],
      ],
      files,
      tumorId: null,
      place: centreMm === null ? null : { centreMm, sizeMm: 20 },
      labels: [],
    }
  }
}
