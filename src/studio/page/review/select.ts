import type { ItemDecision, ItemTable } from '../../review/messages.js'

/** Which items are listed, and in which order. */
export interface Choice {
  /** Wanted text by column; an empty text takes all. */
  readonly texts: Readonly<Record<string, string>>
  /** Part of the case id, in any letter case. */
  readonly search: string
  /** Number column with its limits. */
  readonly measure: string
  readonly least: number | null
  readonly most: number | null
  readonly decision: DecisionChoice
  /** Only items that this reviewer decided on; empty: all. */
  readonly reviewer: string
  /** Column, or empty for the order of the files. */
  readonly sort: string
  readonly falling: boolean
}

export type DecisionChoice = '' | 'mine-open' | 'none' | 'accepted' | 'rejected' | 'tied' | 'stale'

export const EVERYTHING: Choice = {
  texts: {},
  search: '',
  measure: '',
  least: null,
  most: null,
  decision: '',
  reviewer: '',
  sort: '',
  falling: false,
}

/** Return the numbers of the chosen items in order. Items without a value come last. */
export function chosenItems(
  { count, texts, numbers }: ItemTable,
  choice: Choice,
  decisions: ReadonlyMap<number, ItemDecision>,
  me: string,
): number[] {
  const tests: ((at: number) => boolean)[] = []
  for (const [name, wanted] of Object.entries(choice.texts)) {
    const column = texts[name]
    if (wanted === '' || column === undefined) continue
    const code = column.values.indexOf(wanted)
    tests.push((at) => column.codes[at] === code)
  }
  const search = choice.search.trim().toLowerCase()
  if (search !== '' && texts.case !== undefined) {
    const { values, codes } = texts.case
    const fitting = values.map((value) => value.toLowerCase().includes(search))
    tests.push((at) => fitting[codes[at]!]!)
  }
  const measure = numbers[choice.measure]
  if (measure !== undefined && (choice.least !== null || choice.most !== null)) {
    const [least, most] = [choice.least ?? -Infinity, choice.most ?? Infinity]
    tests.push((at) => measure[at] != null && measure[at] >= least && measure[at] <= most)
  }
  const decided = DECISIONS[choice.decision]
  if (decided !== undefined) tests.push((at) => decided(decisions.get(at), me))
  if (choice.reviewer !== '')
    tests.push((at) => decisions.get(at)?.votes.some(({ reviewer }) => reviewer === choice.reviewer) === true)
  const chosen: number[] = []
  for (let at = 0; at < count; at++) if (tests.every((test) => test(at))) chosen.push(at)
  return sorted(chosen, { texts, numbers }, choice)
}

const DECISIONS: Readonly<
  Partial<Record<DecisionChoice, (decision: ItemDecision | undefined, me: string) => boolean>>
> = {
  'mine-open': (one, me) => one?.votes.some(({ reviewer }) => reviewer === me) !== true,
  none: (one) => one === undefined,
  accepted: (one) => one?.joint === 'accept' && !one.stale,
  rejected: (one) => one?.joint === 'reject' && !one.stale,
  tied: (one) => one?.joint === 'undecided' && !one.stale,
  stale: (one) => one?.stale === true,
}

function sorted(
  chosen: number[],
  { texts, numbers }: Pick<ItemTable, 'texts' | 'numbers'>,
  { sort, falling }: Choice,
): number[] {
  const values = numbers[sort]
  const ranks = texts[sort] === undefined ? undefined : ranksOf(texts[sort].values)
  const codes = texts[sort]?.codes
  if (values === undefined && ranks === undefined) return falling ? chosen.reverse() : chosen
  const keyOf = (at: number): number => (values !== undefined ? (values[at] ?? NaN) : ranks![codes![at]!]!)
  const keys = new Float64Array(chosen.length).map((_, place) => keyOf(chosen[place]!))
  const places = chosen.map((_, place) => place)
  const direction = falling ? -1 : 1
  places.sort((a, b) => {
    const [x, y] = [keys[a]!, keys[b]!]
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || a - b
    return direction * (x - y) || a - b
  })
  return places.map((place) => chosen[place]!)
}

/** Return the place of each text in alphabetic order. */
function ranksOf(values: readonly string[]): number[] {
  const order = values.map((_, at) => at).sort((a, b) => values[a]!.localeCompare(values[b]!))
  const ranks: number[] = []
  for (const [rank, at] of order.entries()) ranks[at] = rank
  return ranks
}
