import { inWords } from '../../../report/wording.js'
import type { ItemTable } from '../../review/messages.js'

/** Columns that can be filtered by their texts, for each kind of results. */
export const FILTERS: Readonly<Record<ItemTable['kind'], readonly string[]>> = {
  synthetic: ['organ', 'size', 'verdict', 'reason', 'scan'],
  evaluation: ['kind'],
  audit: ['kind', 'leak'],
  check: ['severity', 'rule'],
}
/** Name of an item. */
export const NOUNS: Readonly<Record<ItemTable['kind'], readonly [one: string, many: string]>> = {
  synthetic: ['tumor', 'tumors'],
  evaluation: ['item', 'items'],
  audit: ['pair', 'pairs'],
  check: ['finding', 'findings'],
}
export const KINDS: Readonly<Record<ItemTable['kind'], string>> = {
  synthetic: 'synthetic data set',
  evaluation: 'evaluation',
  audit: 'audit',
  check: 'data check',
}

const UNITS: Readonly<Record<string, string>> = { HuPerMm: 'HU/mm', Hu: 'HU', Mm: 'mm', Ml: 'ml' }

export function itemText({ texts }: ItemTable, name: string, at: number): string {
  const column = texts[name]
  return column === undefined ? '' : (column.values[column.codes[at]!] ?? '')
}

function itemNumber({ numbers }: ItemTable, name: string, at: number): number | null {
  return numbers[name]?.[at] ?? null
}

/** Return the name of a measure as the reports have it. */
export function measureName(column: string): string {
  const [, name, unit] = /^(?:measure )?(.+?)(HuPerMm|Hu|Mm|Ml)?$/.exec(column)!
  return unit === undefined ? inWords(name!) : `${inWords(name!)} (${UNITS[unit]})`
}

/** Return the measures of an item. */
export function measuresOf(table: ItemTable, at: number): [name: string, value: string][] {
  return Object.keys(table.numbers).flatMap((name): [string, string][] => {
    if (!name.startsWith('measure ') && table.kind === 'synthetic') return []
    const value = itemNumber(table, name, at)
    return value === null
      ? []
      : [[measureName(name), value.toLocaleString('en-US', { maximumSignificantDigits: 4 })]]
  })
}

/** Return the two lines of an item in the list. */
export function linesOf(table: ItemTable, at: number): readonly [title: string, detail: string] {
  const text = (name: string): string => itemText(table, name, at)
  switch (table.kind) {
    case 'synthetic': {
      const attempt = itemNumber(table, 'attempt', at) ?? 0
      const number = `tumor ${itemNumber(table, 'tumor', at) ?? '–'}${attempt > 0 ? `, attempt ${attempt}` : ''}`
      return [
        `${text('organ')}, ${text('size')}`,
        `${text('case')} v${itemNumber(table, 'variant', at) ?? '–'}, ${number}`,
      ]
    }
    case 'evaluation': {
      const [dice, ml] = [itemNumber(table, 'dice', at), itemNumber(table, 'volumeMl', at)]
      const figure = dice !== null ? `Dice ${dice.toFixed(3)}` : ml !== null ? `${ml.toFixed(2)} ml` : ''
      return [text('kind'), [text('case'), figure].filter((part) => part !== '').join(', ')]
    }
    case 'audit':
      return [`${text('case')} and ${text('other')}`, `${text('kind')}, ${text('leak')}`]
    case 'check':
      return [text('rule'), text('case')]
  }
}

/** Return the state of an item in words, with its look. */
export function verdictOf(table: ItemTable, at: number): readonly [text: string, look: string] {
  const text = (name: string): string => itemText(table, name, at)
  switch (table.kind) {
    case 'synthetic':
      return text('verdict') === 'accepted'
        ? ['accepted', 'completed']
        : [inWords(text('verdict')), 'stopped']
    case 'evaluation':
      return ['', '']
    case 'audit':
      return text('leak') === 'leak' ? ['leak', 'failed'] : ['', '']
    case 'check':
      return [text('severity'), text('severity') === 'error' ? 'failed' : 'stopped']
  }
}
