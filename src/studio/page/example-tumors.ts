import type { ExampleFigure, ExampleTumors, ExampleView } from '../messages.js'
import { make } from './dom.js'
import { asServerError, readExampleTumors } from './server.js'

/** A running training is asked again after this time at the earliest. */
const REFRESH_MS = 10_000
/** Longer side of a canvas in pixels: sharp at twice the pixel density of a screen. */
const CANVAS_SIDE = 320
/** The colour of tumors in reports. */
const OUTLINE = '#ffbe00'

type Organ = ExampleTumors['organs'][number]

/** Example tumors of a run: accepted next to rejected ones, and real next to synthetic ones. */
export class ExampleTumorsView {
  readonly element = make('section', { class: 'examples', is: { 'aria-labelledby': 'example-tumors' } })
  #shown = ''
  #readAt = Number.NEGATIVE_INFINITY
  #waiting: ReturnType<typeof setTimeout> | undefined
  #closed = false

  constructor(private readonly id: string) {}

  /** Read the examples, and show them if they changed. */
  async read(): Promise<void> {
    this.#readAt = performance.now()
    try {
      const text = await readExampleTumors(this.id)
      if (text === this.#shown || this.#closed) return
      this.#shown = text
      this.#show(contentOf(JSON.parse(text) as ExampleTumors))
    } catch (error) {
      const { message, hint } = asServerError(error)
      if (this.#shown === '') this.#show([make('p', { class: 'missing' }, `${message} ${hint}`)])
    }
  }

  /** Read the examples again soon: the run painted tumors. */
  refresh(): void {
    if (this.#waiting !== undefined || this.#closed) return
    const rest = Math.max(0, this.#readAt + REFRESH_MS - performance.now())
    this.#waiting = setTimeout(() => {
      this.#waiting = undefined
      void this.read()
    }, rest)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#waiting)
  }

  #show(content: readonly HTMLElement[]): void {
    this.element.replaceChildren(make('h2', { is: { id: 'example-tumors' } }, 'Example tumors'), ...content)
  }
}

function contentOf({ organs, advice, problems }: ExampleTumors): HTMLElement[] {
  const damaged =
    problems.length === 0
      ? []
      : [make('ul', { class: 'warnings' }, ...problems.map((one) => make('li', { class: 'warning' }, one)))]
  if (organs.length === 0)
    return [...damaged, make('p', { class: 'missing' }, `This run has no example tumors. ${advice}`)]
  const note =
    'The first tumors of each organ and size. The difference is synthetic minus host, doubled around mid-grey. Sides: R right, L left, A anterior, P posterior.'
  return [...damaged, make('p', { class: 'note' }, note), ...organs.flatMap(organContent)]
}

function organContent({ organ, accepted, rejected, unjudged, pairs }: Organ): HTMLElement[] {
  const column = (verdict: string, figures: readonly ExampleFigure[]): HTMLElement =>
    make(
      'div',
      {},
      make('h4', { class: verdict }, verdict),
      ...(figures.length === 0
        ? [make('p', { class: 'missing' }, `No ${organ} tumor with a picture was ${verdict}.`)]
        : figures.map((one) => figureOf(one))),
    )
  const isJudged = accepted.length + rejected.length > 0
  const box = (look: string, figures: readonly HTMLElement[]): HTMLElement[] =>
    figures.length === 0 ? [] : [make('div', { class: look }, ...figures)]
  return [
    make('h3', {}, organ),
    ...box('verdicts', isJudged ? [column('accepted', accepted), column('rejected', rejected)] : []),
    ...box(
      'verdicts',
      unjudged.map((one) => figureOf(one)),
    ),
    ...box(
      'pictures',
      pairs.map((one) => figureOf(one, 'two')),
    ),
  ]
}

function figureOf({ title, facts, views }: ExampleFigure, look = ''): HTMLElement {
  return make(
    'figure',
    {},
    make('div', { class: `slices ${look}` }, ...views.map((view, at) => viewElement(view, at === 0))),
    make('figcaption', {}, `${title} `, make('span', { class: 'quiet' }, facts.join(' · '))),
  )
}

function viewElement(view: ExampleView, isFirst: boolean): HTMLElement {
  return make(
    'div',
    { class: 'slice' },
    make('div', { class: 'ground' }, canvasOf(view), isFirst ? marksOf(view) : null),
    make('p', { is: { 'aria-hidden': 'true' } }, view.title),
  )
}

function marksOf({ sides, barMm, width, pixelMm }: ExampleView): HTMLElement {
  const marks = sides.map((side, at) => make('i', { class: `side${at}` }, side))
  const bar = barMm === null ? null : make('i', { class: 'bar-mm' }, `${barMm} mm`)
  if (bar !== null) bar.style.width = `${((100 * barMm!) / (width * pixelMm[0])).toFixed(1)}%`
  return make('div', { is: { 'aria-hidden': 'true' } }, ...marks, bar)
}

function canvasOf({ alt, width, height, pixelMm, gray, outline }: ExampleView): HTMLElement {
  const canvas = make('canvas', { is: { role: 'img', 'aria-label': alt } })
  const [across, down] = [width * pixelMm[0], height * pixelMm[1]]
  const scale = CANVAS_SIDE / Math.max(across, down)
  canvas.width = Math.max(1, Math.round(across * scale))
  canvas.height = Math.max(1, Math.round(down * scale))
  const pen = canvas.getContext('2d')!
  pen.imageSmoothingQuality = 'high'
  pen.drawImage(greyOf(bytesOf(gray), width, height), 0, 0, canvas.width, canvas.height)
  if (outline === null) return canvas
  const border = borderOf(bytesOf(outline), width, height)
  // the line has one width, also where pixels are not square
  const path = new Path2D()
  path.addPath(border, new DOMMatrix([canvas.width / width, 0, 0, canvas.height / height, 0, 0]))
  pen.lineWidth = 2.5
  pen.strokeStyle = OUTLINE
  pen.stroke(path)
  return canvas
}

function greyOf(gray: Uint8Array, width: number, height: number): HTMLCanvasElement {
  const canvas = make('canvas')
  canvas.width = width
  canvas.height = height
  const pen = canvas.getContext('2d')!
  const image = pen.createImageData(width, height)
  gray.forEach((value, at) => {
    image.data.fill(value, 4 * at, 4 * at + 3)
    image.data[4 * at + 3] = 255
  })
  pen.putImageData(image, 0, 0)
  return canvas
}

/** Return the border of a mask along the sides of its pixels. */
function borderOf(mask: Uint8Array, width: number, height: number): Path2D {
  const path = new Path2D()
  const inside = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1
  for (let y = 0; y <= height; y++)
    for (let x = 0; x <= width; x++) {
      if (inside(x, y) !== inside(x, y - 1)) {
        path.moveTo(x, y)
        path.lineTo(x + 1, y)
      }
      if (inside(x, y) !== inside(x - 1, y)) {
        path.moveTo(x, y)
        path.lineTo(x, y + 1)
      }
    }
  return path
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
}
