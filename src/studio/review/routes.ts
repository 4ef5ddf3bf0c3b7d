import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { refuse } from '../guard.js'
import type { Collection } from './collection.js'
import { type Decisions, parseDecision } from './decisions.js'
import type { FileHashes } from './file-hash.js'
import type { CollectionFinder } from './finder.js'
import type { CollectionList, ItemDetail, ItemTable, LayerRole } from './messages.js'
import { layersOf } from './places.js'
import { HIDDEN_COLUMNS, SyntheticCollection } from './synthetic.js'
import { VolumeSender } from './volumes.js'

const MAX_BODY = 4096

export interface ReviewServed {
  readonly folders: readonly string[]
  readonly finder: CollectionFinder
  readonly hashes: FileHashes
  readonly decisions: Decisions
  /** Accept decisions. */
  readonly writable: boolean
}

/** Return the routes of the viewer. A request names a collection by its id, an item by its number, a volume by its role. */
export function reviewRoutes({ folders, finder, hashes, decisions, writable }: ReviewServed): Hono {
  const routes = new Hono()
  const sender = new VolumeSender()
  const tables = new WeakMap<Collection, { readonly of: string; readonly text: string }>()

  routes.get('/', async (context) => {
    const list: CollectionList = { collections: await finder.rows(), unlisted: finder.unlisted, folders }
    return context.json(list)
  })
  routes.get('/:id', async (context) => {
    const collection = await finder.open(context.req.param('id'))
    if (collection === undefined) return noCollection()
    const of = `${collection.revision}.${collection.columns.count}.${collection.damagedLines}`
    const known = tables.get(collection)
    const text = known?.of === of ? known.text : JSON.stringify(tableOf(collection))
    tables.set(collection, { of, text })
    return context.body(text, 200, { 'Content-Type': 'application/json' })
  })
  routes.get('/:id/items/:at{[0-9]{1,6}}', async (context) => {
    const found = await itemOf(context)
    if (found instanceof Response) return found
    const { files, ...item } = await found.collection.item(found.at)
    const detail: ItemDetail = { at: found.at, ...item, layers: await layersOf(files) }
    return context.json(detail)
  })
  routes.get('/:id/items/:at{[0-9]{1,6}}/volumes/:role{[a-z]{1,20}}', async (context) => {
    const found = await itemOf(context)
    if (found instanceof Response) return found
    const { files } = await found.collection.item(found.at)
    const role = context.req.param('role') as LayerRole
    const file = files.get(role)
    if (file === undefined || 'message' in file) return refuse(`${role}: no volume`, 'reload the page', 404)
    // the hash that a decision needs is ready by then
    if (role === 'synthetic' && writable) void hashes.of(file.root, file.path).catch(() => {})
    return await sender.answer(file.root, file.path)
  })
  routes.get('/:id/reviews', async (context) => {
    const collection = await finder.open(context.req.param('id'))
    if (!(collection instanceof SyntheticCollection)) return noCollection()
    return context.json(await decisions.of(collection, context.req.query('known')))
  })
  routes.get('/:id/reviews.csv', async (context) => {
    const collection = await finder.open(context.req.param('id'))
    if (!(collection instanceof SyntheticCollection)) return noCollection()
    return context.body(await decisions.csv(collection), 200, { 'Content-Type': 'text/csv; charset=utf-8' })
  })
  routes.post(
    '/:id/reviews',
    bodyLimit({
      maxSize: MAX_BODY,
      onError: () => refuse(`body: too large (expected at most ${MAX_BODY} bytes)`, 'send one decision', 413),
    }),
    async (context) => {
      if (!writable)
        return refuse(
          'decisions: not allowed',
          'start `freetumor studio --control`, or with --reviews FILE',
          403,
        )
      if (context.req.header('content-type') !== 'application/json')
        return refuse('Content-Type: not supported (expected application/json)', 'send JSON', 415)
      const collection = await finder.open(context.req.param('id'))
      if (!(collection instanceof SyntheticCollection)) return noCollection()
      const given = parseDecision(await context.req.text())
      if (given === null)
        return refuse(
          'decision: not recognised (expected at, reviewer, decision, reason and seconds)',
          'correct the request',
          400,
        )
      if (given.revision !== collection.revision) return outdated()
      if (given.at >= collection.columns.count) return noItem()
      return context.json(await decisions.add(collection, given))
    },
  )

  const tableOf = (collection: Collection): ItemTable => ({
    kind: collection.kind,
    path: collection.path,
    revision: collection.revision,
    count: collection.columns.count,
    unlisted: collection.unlisted,
    damagedLines: collection.damagedLines,
    ...collection.columns.toJSON(HIDDEN_COLUMNS),
    reviews: writable && collection instanceof SyntheticCollection ? decisions.fileOf(collection) : null,
  })
  const itemOf = async (
    context: Context,
  ): Promise<Response | { readonly collection: Collection; readonly at: number }> => {
    const collection = await finder.open(context.req.param('id')!)
    if (collection === undefined) return noCollection()
    if (context.req.query('revision') !== collection.revision) return outdated()
    const at = Number(context.req.param('at'))
    return at < collection.columns.count ? { collection, at } : noItem()
  }
  return routes
}

function noCollection(): Response {
  return refuse('data set: not found', 'reload the list of data', 404)
}

function noItem(): Response {
  return refuse('item: not found', 'reload the page', 404)
}

function outdated(): Response {
  return refuse('items: changed meanwhile', 'reload the page', 409)
}
