import { escapeHtml } from './escape-html.js'
import type { RealTumor, TumorPicture, TumorPlane, TumorSlice } from './pictures.js'
import { cutOut, type SliceView, sliceRow, VIEW_NOTE, windowText } from './slice-view.js'
import { rankOfSize, type TumorTally, tumorTable } from './tumor-tally.js'
import { percent } from './wording.js'

/** A picture of a synthetic tumor; its verdict is null if unknown or not judged. */
export type Example = TumorPicture & {
  /** The measure that decided, as displayed; null if unknown. */
  readonly decided: string | null
}

/** Pictures of tumors. */
export interface TumorPictures {
  readonly examples: readonly Example[]
  readonly real: readonly RealTumor[]
  /** Advice for a section without pictures. */
  readonly hint: string
}

/** Largest numbers of pictures on the page, of each organ. */
const SIZES_OF_VERDICT = 4
const LEAST_OF_VERDICT = 2
const MAX_PAIRS = 3
const MAX_WHOLE = 2
/** Largest number of pictures spread over a training. */
const MAX_SPREAD = 64
const MAX_ORGANS = 8
/** A real and a synthetic tumor are compared if the larger diameter is at most this multiple of the smaller. */
const SIMILAR = 1.6
/** Sides of a pair, in pixels: the larger tumor with this margin. */
const [SMALLEST_SIDE, MARGIN] = [28, 16]

/** Return the table of synthetic tumors and the pictures. */
export function tumorSection(tumors: TumorTally | null, pictures: TumorPictures): string {
  const table =
    tumors === null
      ? '<p class="missing">There is no ledger, so tumors are not counted by organ and size. Copy <code>ledger.jsonl</code> of the run here, then write the report again.</p>'
      : tumorTable(tumors)
  const { examples, hint } = pictures
  if (examples.length === 0)
    return `${table}<p class="missing">There are no example pictures. ${escapeHtml(hint)}</p>`
  return `${table}${verdicts(pictures)}${pairs(pictures)}${wholeSlices(examples)}${spread(examples)}`
}

/** Return accepted next to rejected tumors of each organ. */
function verdicts({ examples }: TumorPictures): string {
  const chosen = examples.filter(({ choice }) => choice === 'example')
  if (chosen.length === 0) return ''
  const judged = chosen.some(({ verdict }) => verdict !== null)
  const groups = byOrgan(chosen).map(([organ, own]) => {
    const columns = judged
      ? (['accepted', 'rejected'] as const).map((verdict) => {
          const some = bySize(own.filter((one) => one.verdict === verdict))
          const empty = `<p class="missing">No ${escapeHtml(organ)} tumor with a picture was ${verdict}.</p>`
          return `<div><h5 class="${verdict}">${verdict}</h5>${some.length === 0 ? empty : some.map((one) => figure(one)).join('\n')}</div>`
        })
      : bySize(own).map((one) => `<div>${figure(one)}</div>`)
    return `<h4>${escapeHtml(capital(organ))}</h4><div class="verdicts">${columns.join('\n')}</div>`
  })
  return `<h3>${judged ? 'Accepted and rejected tumors' : 'Painted tumors'} <span class="quiet">the first of each organ and size</span></h3>${note(chosen, `${VIEW_NOTE} The difference is doubled around mid-grey.`)}${groups.join('\n')}`
}

/** Return a real tumor next to a synthetic one of the same organ and similar size. */
function pairs({ examples, real }: TumorPictures): string {
  const head =
    '<h3>Real and synthetic tumors <span class="quiet">same organ, similar size, same window and scale</span></h3>'
  if (real.length === 0)
    return `${head}<p class="missing">No picture of a real tumor was kept: no real tumor lay whole in the crops of the first steps or in the pictured hosts. Add labelled scans with tumors.</p>`
  const found = similarPairs(examples, real)
  if (found.length === 0)
    return `${head}<p class="missing">No real tumor has the organ and a similar size of a pictured synthetic one. A longer run, or <code>report.pictures</code> above 0, keeps more.</p>`
  return `${head}${note(found.map(([, synthetic]) => synthetic))}<div class="pictures">${found.map(([one, other]) => pairFigure(one, other)).join('\n')}</div>`
}

/** Return pairs of each organ, the most alike in diameter first; each tumor is in at most one pair. */
export function similarPairs(
  examples: readonly Example[],
  real: readonly RealTumor[],
): (readonly [RealTumor, Example])[] {
  const ratio = (a: number, b: number): number => Math.max(a, b) / Math.min(a, b)
  return byOrgan(real).flatMap(([organ, own]) => {
    const candidates = own
      .flatMap((one) =>
        examples
          .filter((example) => example.organ === organ && example.verdict !== 'rejected')
          .map((example) => ({
            one,
            example,
            distance: ratio(one.diameterMm ?? 0, example.diameterMm ?? Number.POSITIVE_INFINITY),
          })),
      )
      .filter(({ distance }) => distance <= SIMILAR)
      .sort((a, b) => a.distance - b.distance)
    const taken = new Set<object>()
    const chosen: (readonly [RealTumor, Example])[] = []
    for (const { one, example } of candidates) {
      if (chosen.length === MAX_PAIRS) break
      if (taken.has(one) || taken.has(example)) continue
      taken.add(one).add(example)
      chosen.push([one, example])
    }
    return chosen
  })
}

function pairFigure(real: RealTumor, synthetic: Example): string {
  const told = pairFacts(real, synthetic)
  return `<figure>${sliceRow(pairViews(real, synthetic), 'two')}<figcaption>${escapeHtml(`${real.organ} tumors`)} ${quiet(told)}</figcaption></figure>`
}

/** Return the views of a real and a synthetic tumor at the same scale. */
export function pairViews(real: RealTumor, synthetic: Example): SliceView[] {
  const plane = synthetic.planes[0]!
  const side = Math.max(sideFor(real.plane), sideFor(plane))
  const view = (title: string, slice: TumorSlice): SliceView => {
    const { grid, image, mask } = squareAround(slice, side)
    return {
      grid,
      gray: image,
      title,
      alt: `axial slice of a ${title} ${real.organ} tumor, outlined`,
      outlines: [{ look: 'tumor', mask }],
    }
  }
  return [view('real', real.plane), view('synthetic', { ...plane, image: plane.synthetic })]
}

/** Return diameter and origin of a real and a synthetic tumor. */
export function pairFacts(real: RealTumor, synthetic: Example): string[] {
  return [
    `real: ${millimetres(real.diameterMm)}, ${real.where}`,
    `synthetic: ${millimetres(synthetic.diameterMm)}, ${synthetic.where}`,
  ]
}

/** Return the side of a square, in pixels, that shows the tumor with a margin. */
function sideFor({ mask, width }: Pick<TumorSlice, 'mask' | 'width'>): number {
  const { right, left, top, bottom } = boxOf(mask, width)
  return Math.max(SMALLEST_SIDE, Math.max(right - left, bottom - top) + MARGIN)
}

function squareAround(
  slice: TumorSlice,
  side: number,
): { grid: TumorSlice; image: Uint8Array; mask: Uint8Array } {
  const { left, right, top, bottom } = boxOf(slice.mask, slice.width)
  // moved inside the slice, where it has that room
  const from = (middle: number, length: number): number =>
    length < side
      ? Math.round((length - side) / 2)
      : Math.max(0, Math.min(Math.round(middle - side / 2), length - side))
  const box = {
    x: from((left + right) / 2, slice.width),
    y: from((top + bottom) / 2, slice.height),
    width: side,
    height: side,
  }
  const image = cutOut(slice.image, slice, box)
  const mask = cutOut(slice.mask, slice, box)
  return { grid: { ...slice, width: side, height: side }, image, mask }
}

function boxOf(
  mask: Uint8Array,
  width: number,
): { left: number; right: number; top: number; bottom: number } {
  let [left, right, top, bottom] = [width, 0, mask.length / width, 0]
  mask.forEach((inside, at) => {
    if (inside === 0) return
    const [x, y] = [at % width, Math.floor(at / width)]
    left = Math.min(left, x)
    right = Math.max(right, x + 1)
    top = Math.min(top, y)
    bottom = Math.max(bottom, y + 1)
  })
  return { left, right, top, bottom }
}

/** Return whole slices of scans with an accepted tumor. */
function wholeSlices(examples: readonly Example[]): string {
  const chosen = byOrgan(examples.filter(({ whole, verdict }) => whole !== null && verdict !== 'rejected'))
    .flatMap(([, own]) => own.slice(0, MAX_WHOLE))
    .map((example) => {
      const whole = example.whole!
      const what = `${example.size} ${example.organ} tumor`
      const alt = `whole axial slice with a ${what}, outlined`
      const view: SliceView = {
        grid: whole,
        gray: whole.image,
        title: 'synthetic scan',
        alt,
        outlines: [{ look: 'tumor', mask: whole.mask }],
      }
      return `<figure>${sliceRow([view], 'one')}<figcaption>${escapeHtml(what)} ${quiet([example.where, windowText(example.windowHu)])}</figcaption></figure>`
    })
  if (chosen.length === 0) return ''
  return `<h3>Whole slices</h3><div class="pictures">${chosen.join('\n')}</div>`
}

/** Return the pictures that a training spreads over its steps, in three planes. */
function spread(examples: readonly Example[]): string {
  const chosen = examples.filter(({ choice }) => choice === 'spread').slice(0, MAX_SPREAD)
  if (chosen.length === 0) return ''
  return `<h3>Over the training <span class="quiet">whole crops in three planes</span></h3>${note(chosen)}<div class="verdicts">${chosen.map(crops).join('\n')}</div>`
}

/** Return a tumor in its first plane. */
function figure(example: Example): string {
  const what = nameOf(example)
  const row = sliceRow(tumorViews(example.planes[0]!, what, true))
  return `<figure>${row}<figcaption>${escapeHtml(what)} ${quiet([decision(example), example.where])}</figcaption></figure>`
}

/** Return a tumor in all its planes. */
function crops(example: Example): string {
  const { planes, verdict, where } = example
  const what = nameOf(example)
  const rows = planes.map((plane, at) => sliceRow(tumorViews(plane, what, at === planes.length - 1)))
  const told = [where, ...(verdict === null ? [] : [verdict]), decision(example)]
  return `<figure>${rows.join('')}<figcaption>${escapeHtml(what)} ${quiet(told)}</figcaption></figure>`
}

/** Return size, organ and diameter of a tumor. */
export function nameOf({ organ, size, diameterMm }: Example): string {
  return `${size} ${organ} tumor${diameterMm === null ? '' : `, ${millimetres(diameterMm)}`}`
}

/** Return the measure that decided, else the detected fraction. */
export function decision({ decided, shareSeen }: Example): string {
  if (decided !== null) return decided
  return shareSeen === null ? 'no baseline' : `baseline detects ${percent(shareSeen)}`
}

/** Return the intensity windows of pictures in a line. */
function note(pictures: readonly { readonly windowHu: Example['windowHu'] }[], before = ''): string {
  const windows = [...new Set(pictures.map(({ windowHu }) => windowText(windowHu)))].filter(
    (one) => one !== '',
  )
  const told = [before, ...(windows.length > 0 ? [`${capital(windows.join('; '))}.`] : [])]
  return `<p class="note">${escapeHtml(told.join(' ').trim())}</p>`
}

/** Return host, synthetic, difference and outline of a plane. */
export function tumorViews(plane: TumorPlane, what: string, titled: boolean): SliceView[] {
  const view = (title: string, gray: Uint8Array): SliceView => ({
    grid: plane,
    gray,
    title: titled ? title : '',
    alt: `${title} of a ${what}, ${plane.name} slice`,
  })
  return [
    view('host', plane.host),
    view('synthetic', plane.synthetic),
    view('difference', doubledDifference(plane)),
    { ...view('mask', plane.synthetic), outlines: [{ look: 'tumor', mask: plane.mask }] },
  ]
}

/** Return synthetic minus host, doubled around mid-grey. */
export function doubledDifference({ host, synthetic }: Pick<TumorPlane, 'host' | 'synthetic'>): Uint8Array {
  return host.map((before, at) => Math.max(0, Math.min(255, 128 + 2 * (synthetic[at]! - before))))
}

/** Return the tumors of each organ, in the order of the names of the organs. */
export function byOrgan<T extends { readonly organ: string }>(
  all: readonly T[],
): [organ: string, own: T[]][] {
  const groups = new Map<string, T[]>()
  for (const one of all) groups.set(one.organ, [...(groups.get(one.organ) ?? []), one])
  return [...groups].sort(([a], [b]) => a.localeCompare(b)).slice(0, MAX_ORGANS)
}

/** Return the first tumor of each size, from the smallest on; a second one if there is only one size. */
export function bySize(own: readonly Example[]): Example[] {
  const seen = new Map<string, number>()
  const ranked = own.map((one) => {
    const earlier = seen.get(one.size) ?? 0
    seen.set(one.size, earlier + 1)
    return { one, earlier }
  })
  const sorted = ranked.sort((a, b) => a.earlier - b.earlier || order(a.one, b.one))
  const first = sorted.filter(({ earlier }) => earlier === 0).length
  const count = Math.min(SIZES_OF_VERDICT, Math.max(LEAST_OF_VERDICT, first))
  const chosen = sorted.slice(0, count)
  return chosen.map(({ one }) => one).sort(order)
}

function order(a: Example, b: Example): number {
  return rankOfSize(a.size) - rankOfSize(b.size)
}

function millimetres(diameter: number | null): string {
  return diameter === null ? 'unknown diameter' : `${diameter.toFixed(0)} mm`
}

function quiet(parts: readonly string[]): string {
  return `<span class="quiet">${escapeHtml(parts.filter((part) => part !== '').join(' · '))}</span>`
}

function capital(text: string): string {
  return text.replace(/^./, (letter) => letter.toUpperCase())
}
