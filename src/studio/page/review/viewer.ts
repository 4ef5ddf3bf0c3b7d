import type { Vec3 } from '../../../volume/volume.js'
import type { LayerRole, Place } from '../../review/messages.js'
import { make, setText } from '../dom.js'
import type { Pixels } from './paint.js'
import { neededBy, type Panel } from './panels.js'
import { extentOf, PLANES, type Plane, type Sight, sliceStepMm, toMm } from './slices.js'
import {
  drawCross,
  drawMarks,
  drawRing,
  fillPixels,
  legendOf,
  Samples,
  type Shown,
  valueInWords,
} from './view-drawing.js'
import type { LoadedVolume } from './volume.js'
import { type HuWindow, WINDOWS } from './windows.js'

/** Margin around an object when it is zoomed to, in object sizes. */
const ZOOM_MARGIN = 2.5
const LEAST_ZOOM_MM = 40
const MAX_PIXEL_RATIO = 2
/** Way of a pointer between press and release that is still a click. */
const CLICK_PIXELS = 4

interface View {
  readonly plane: Plane
  readonly at: number
  readonly canvas: HTMLCanvasElement
  image: ImageData | null
}

/** Columns of three planes with one crosshair. */
export class Viewer {
  readonly element: HTMLElement
  readonly #grid = make('div', { class: 'views' })
  readonly #views: View[] = []
  readonly #notes: HTMLElement[] = []
  readonly #values: HTMLElement[] = []
  readonly #titles: HTMLElement[] = []
  #shown: Shown | null = null
  #crossMm: Vec3 = [0, 0, 0]
  #centreMm: Vec3 = [0, 0, 0]
  /** Per CSS pixel; null: the whole volume. */
  #zoom: number | null = null
  #window: HuWindow = WINDOWS[0]
  #only: Plane['name'] | null = null
  #active: Plane = PLANES[0]!
  #blink = false
  #outline = true
  #waiting = false
  #markMm: Vec3 | null = null
  readonly #sizes = new ResizeObserver(() => this.draw())

  /** @param onClick called with the position of a click that is no drag */
  constructor(
    private readonly panels: readonly Panel[],
    private readonly onClick: (mm: Vec3) => void = () => {},
  ) {
    this.element = make('div', { class: 'viewer' }, this.#grid)
    this.#grid.style.setProperty('--columns', String(panels.length))
    for (const panel of panels) {
      const title = make('h2', {}, panel.title)
      const value = make('span', { class: 'value' })
      this.#titles.push(title)
      this.#values.push(value)
      this.#grid.append(make('div', { class: 'view-head' }, title, value, legendOf(panel)))
    }
    for (const plane of PLANES)
      for (const at of panels.keys()) {
        const canvas = make('canvas', {
          is: { role: 'img', 'aria-label': `${panels[at]!.title}, ${plane.name}` },
        })
        const view = { plane, at, canvas, image: null }
        this.#views.push(view)
        this.#listen(view)
        this.#grid.append(make('div', { class: `view ${plane.name}` }, canvas))
      }
    for (const at of panels.keys()) {
      const note = make('div', { class: 'view-note', is: { role: 'status' } })
      note.style.setProperty('--column', String(at + 1))
      this.#notes.push(note)
      this.#grid.append(note)
    }
    this.#sizes.observe(this.#grid)
  }

  get crossMm(): Vec3 {
    return this.#crossMm
  }

  get window(): HuWindow {
    return this.#window
  }

  get isZoomed(): boolean {
    return this.#zoom !== null
  }

  get isBlinked(): boolean {
    return this.#blink
  }

  get isOutlined(): boolean {
    return this.#outline
  }

  get onlyPlane(): Plane['name'] | null {
    return this.#only
  }

  /** Show an item: at its place if one is known, else in the middle. */
  show(shown: Shown): void {
    const before = this.#shown
    this.#shown = shown
    const [first] = shown.volumes.values()
    // a volume that arrives later moves nothing
    const isNew = before?.at !== shown.at
    if (isNew) this.#blink = false
    if (isNew || (before.place === null && (shown.place !== null || before.volumes.size === 0))) {
      if (shown.place !== null) this.#crossMm = shown.place.centreMm
      else if (first !== undefined) this.#crossMm = middleOf(first)
      this.#centreMm = this.#crossMm
      if (this.#zoom !== null) this.#zoomToPlace()
    }
    this.draw()
  }

  /** Show in the views of a volume why it is not there. */
  note(role: LayerRole, message: string, hint = ''): void {
    if (this.#shown === null) return
    this.#shown = { ...this.#shown, missing: new Map([...this.#shown.missing, [role, { message, hint }]]) }
    this.draw()
  }

  setWindow(window: HuWindow): void {
    this.#window = window
    this.draw()
  }

  setPlace(place: Place): void {
    if (this.#shown === null) return
    this.#shown = { ...this.#shown, place }
    this.moveTo(place.centreMm)
    this.#centreMm = place.centreMm
    if (this.#zoom !== null) this.#zoomToPlace()
    this.draw()
  }

  /** Draw a ring at a position; null: none. */
  setMark(mm: Vec3 | null): void {
    this.#markMm = mm
    this.draw()
  }

  /** Show one plane, large, or all: each call shows the next choice. */
  nextPlane(): void {
    const choices = [null, ...PLANES.map(({ name }) => name)]
    this.#only = choices[(choices.indexOf(this.#only) + 1) % choices.length]!
    this.#grid.dataset.only = this.#only ?? ''
    if (this.#only !== null) this.#active = PLANES.find(({ name }) => name === this.#only)!
    this.draw()
  }

  toggleZoom(): void {
    if (this.#zoom !== null) this.#zoom = null
    else this.#zoomToPlace()
    this.#centreMm = this.#crossMm
    this.draw()
  }

  zoomBy(factor: number): void {
    this.#zoom = Math.min(5, Math.max(0.02, (this.#zoom ?? this.#fitting(this.#active)) * factor))
    this.draw()
  }

  /** Show the host in the place of the synthetic scan, or back. */
  toggleBlink(): void {
    this.#blink = !this.#blink
    this.draw()
  }

  toggleOutline(): void {
    this.#outline = !this.#outline
    this.draw()
  }

  /** Move the crosshair by slices of the active plane. */
  scroll(slices: number, plane = this.#active): void {
    const [first] = this.#shown?.volumes.values() ?? []
    if (first === undefined) return
    const mm: [number, number, number] = [...this.#crossMm]
    mm[plane.through]! += slices * sliceStepMm(first, plane.through)
    this.#active = plane
    this.moveTo(mm)
  }

  /** Move the crosshair within the active plane, by voxels. */
  step(right: number, down: number): void {
    const [first] = this.#shown?.volumes.values() ?? []
    if (first === undefined) return
    const mm: [number, number, number] = [...this.#crossMm]
    for (const [[axis, sign], count] of [
      [this.#active.right, right],
      [this.#active.down, down],
    ] as const)
      mm[axis]! += sign * count * sliceStepMm(first, axis)
    this.moveTo(mm)
  }

  moveTo(mm: Vec3): void {
    const [first] = this.#shown?.volumes.values() ?? []
    const [low, high] = first === undefined ? [mm, mm] : extentOf(first)
    const inside = (axis: number): number =>
      Math.min(high[axis]! - 1e-3, Math.max(low[axis]! + 1e-3, mm[axis]!))
    this.#crossMm = first === undefined ? mm : [inside(0), inside(1), inside(2)]
    this.draw()
  }

  /** Draw at the next frame. */
  draw(): void {
    if (this.#waiting) return
    this.#waiting = true
    requestAnimationFrame(() => {
      this.#waiting = false
      this.#drawNow()
    })
  }

  close(): void {
    this.#sizes.disconnect()
  }

  #zoomToPlace(): void {
    const size = Math.max(LEAST_ZOOM_MM, (this.#shown?.place?.sizeMm ?? 30) * ZOOM_MARGIN)
    const view = this.#views.find(({ canvas }) => canvas.clientHeight > 0)?.canvas
    this.#zoom = size / Math.max(50, Math.min(view?.clientWidth ?? 300, view?.clientHeight ?? 300))
  }

  /** Return the millimetres per CSS pixel at which a plane shows the whole volume. */
  #fitting(plane: Plane): number {
    const [first] = this.#shown?.volumes.values() ?? []
    const view = this.#views.find((one) => one.plane === plane)!.canvas
    if (first === undefined) return 1
    const [low, high] = extentOf(first)
    const side = ([axis]: readonly [number, number]): number => high[axis]! - low[axis]!
    return Math.max(
      side(plane.right) / Math.max(1, view.clientWidth),
      side(plane.down) / Math.max(1, view.clientHeight),
    )
  }

  #sightOf(plane: Plane, width: number, height: number, ratio: number): Sight {
    const [first] = this.#shown!.volumes.values()
    const mm: [number, number, number] =
      this.#zoom === null && first !== undefined ? [...middleOf(first)] : [...this.#centreMm]
    mm[plane.through] = this.#crossMm[plane.through]!
    const mmPerPixel = (this.#zoom ?? this.#fitting(plane)) / ratio
    return { plane, centreMm: mm, mmPerPixel, width, height }
  }

  #drawNow(): void {
    const shown = this.#shown
    if (shown === null) return
    const ratio = Math.min(MAX_PIXEL_RATIO, devicePixelRatio)
    for (const [at, title] of this.#titles.entries()) {
      const panel = this.panels[at]!
      const isBlinked = this.#blink && panel.kind === 'scan' && panel.scan === 'synthetic'
      setText(title, isBlinked ? 'Host (blink)' : panel.title)
      title.classList.toggle('blinked', isBlinked)
      const missing = neededBy(panel).flatMap((role) => (shown.volumes.has(role) ? [] : [role]))
      const why = missing.flatMap((role) => shown.missing.get(role) ?? [])[0]
      const note = this.#notes[at]!
      note.hidden = missing.length === 0
      if (missing.length > 0) {
        const texts = [why?.message ?? 'Loading…', why?.hint ?? ''].filter((text) => text !== '')
        if (note.textContent !== texts.join(''))
          note.replaceChildren(...texts.map((text) => make('p', {}, text)))
      }
      setText(this.#values[at]!, valueInWords(panel, shown, this.#crossMm, this.#blink))
    }
    for (const plane of PLANES) {
      const views = this.#views.filter((view) => view.plane === plane)
      const { clientWidth, clientHeight } = views[0]!.canvas
      if (clientWidth === 0 || clientHeight === 0) continue
      const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)]
      const sight = this.#sightOf(plane, width, height, ratio)
      const samples = new Samples(shown, sight)
      for (const view of views) this.#paint(view, sight, samples, ratio)
    }
  }

  #paint(view: View, sight: Sight, samples: Samples, ratio: number): void {
    const { canvas, at, plane } = view
    const { width, height } = sight
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width
      canvas.height = height
      view.image = null
    }
    const context = canvas.getContext('2d', { alpha: false, willReadFrequently: true })!
    view.image ??= context.createImageData(width, height)
    const look = { window: this.#window, isBlinked: this.#blink, isOutlined: this.#outline }
    fillPixels(view.image.data as Pixels, this.panels[at]!, samples, look)
    context.putImageData(view.image, 0, 0)
    drawCross(context, sight, this.#crossMm, ratio)
    if (this.#markMm !== null) drawRing(context, sight, this.#markMm, ratio)
    drawMarks(context, sight, ratio)
    const [first] = this.#shown!.volumes.values()
    const slice = first === undefined ? '' : `, slice at ${this.#crossMm[plane.through]!.toFixed(1)} mm`
    canvas.setAttribute('aria-label', `${this.#titles[at]!.textContent}, ${plane.name}${slice}`)
    // where a position is drawn: for tests and for tools that read the page
    canvas.dataset.sight = JSON.stringify([sight.mmPerPixel, ...sight.centreMm])
  }

  #listen({ plane, canvas }: View): void {
    let dragging: 'cross' | 'pan' | null = null
    let from: Vec3 = [0, 0, 0]
    let pressed: readonly [x: number, y: number] = [0, 0]
    const sightNow = (): Sight =>
      this.#sightOf(plane, canvas.width, canvas.height, canvas.width / Math.max(1, canvas.clientWidth))
    const positionOf = (event: PointerEvent | WheelEvent): Vec3 => {
      const { left, top, width, height } = canvas.getBoundingClientRect()
      const x = ((event.clientX - left) / width) * canvas.width
      const y = ((event.clientY - top) / height) * canvas.height
      return toMm(sightNow(), x, y)
    }
    const moveCross = (event: PointerEvent): void => {
      const mm: [number, number, number] = [...positionOf(event)]
      mm[plane.through] = this.#crossMm[plane.through]!
      this.moveTo(mm)
    }
    canvas.addEventListener('pointerdown', (event) => {
      if (this.#shown === null) return
      this.#active = plane
      dragging = event.button === 0 && !event.shiftKey ? 'cross' : 'pan'
      from = positionOf(event)
      pressed = [event.clientX, event.clientY]
      canvas.setPointerCapture(event.pointerId)
      if (dragging === 'cross') moveCross(event)
    })
    canvas.addEventListener('pointermove', (event) => {
      if (dragging === 'cross') moveCross(event)
      else if (dragging === 'pan') this.#pan(from, positionOf(event))
    })
    canvas.addEventListener('pointerup', (event) => {
      const moved = Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1])
      if (dragging === 'cross' && moved <= CLICK_PIXELS) this.onClick(this.#crossMm)
    })
    for (const end of ['pointerup', 'pointercancel'] as const)
      canvas.addEventListener(end, () => {
        dragging = null
      })
    canvas.addEventListener('contextmenu', (event) => event.preventDefault())
    canvas.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault()
        if (this.#shown === null) return
        if (event.ctrlKey) this.zoomBy(event.deltaY > 0 ? 1.1 : 1 / 1.1)
        else this.scroll(event.deltaY > 0 ? -1 : 1, plane)
      },
      { passive: false },
    )
  }

  #pan(from: Vec3, to: Vec3): void {
    if (this.#zoom === null) return
    const moved = (axis: number): number => this.#centreMm[axis]! - (to[axis]! - from[axis]!)
    this.#centreMm = [moved(0), moved(1), moved(2)]
    this.draw()
  }
}

function middleOf(volume: LoadedVolume): Vec3 {
  const [low, high] = extentOf(volume)
  return [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2]
}
