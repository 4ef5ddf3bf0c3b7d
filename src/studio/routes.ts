import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { FreetumorError } from '../errors.js'
import type { Catalogue } from './catalogue.js'
import { carryOut } from './command.js'
import { detailOf, tailOf } from './detail.js'
import { exampleTumorsOf } from './example-tumors.js'
import { type Reachable, refuse, refuseForeign, requireToken, secured } from './guard.js'
import type { RunList } from './messages.js'
import type { StudioOptions } from './options.js'
import { type PageFiles, servePage } from './page-files.js'
import type { Streams } from './stream.js'

const MAX_BODY = 4096
/** Most runs of one stream: as many as an overlay shows. */
const MAX_OVERLAID = 6

/** Files of the page, without data: they need no token. */
const PAGE: PageFiles = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/page.js': ['page.js', 'text/javascript; charset=utf-8'],
  '/review.js': ['review.js', 'text/javascript; charset=utf-8'],
  '/review.css': ['review.css', 'text/css; charset=utf-8'],
  '/page.css': ['page.css', 'text/css; charset=utf-8'],
  '/icon.svg': ['icon.svg', 'image/svg+xml'],
}

export interface Served {
  readonly options: StudioOptions
  readonly reachable: Reachable
  readonly token: string
  readonly catalogue: Catalogue
  readonly streams: Streams
  /** Routes of the viewer. */
  readonly reviews: Hono
}

/** Return the routes of the server. A request names a run by its id and a log by its numbers, never by a path. */
export function routesOf({ options, reachable, token, catalogue, streams, reviews }: Served): Hono {
  const app = new Hono()
  app.use('*', secured, refuseForeign(reachable))
  app.onError((error) =>
    error instanceof FreetumorError
      ? refuse(error.message, error.commandHint ?? '', 422)
      : refuse('the server failed', 'reload the page, or start `freetumor studio` again', 500),
  )
  app.notFound(() => refuse('not found', 'open the URL that `freetumor studio` printed', 404))
  servePage(app, options.pageFolder, PAGE)

  const api = new Hono()
  api.use('*', requireToken(token))
  api.get('/runs', async (context) => {
    const list: RunList = {
      runs: await catalogue.rows(),
      unlisted: catalogue.unlisted,
      folders: options.folders,
      control: options.control ?? false,
    }
    return context.json(list)
  })
  api.get('/stream', async (context) => {
    const ids = [...new Set((context.req.query('runs') ?? '').split(','))]
    if (ids.length > MAX_OVERLAID)
      return refuse(`runs: too many (expected at most ${MAX_OVERLAID})`, 'select fewer runs', 400)
    const places = await Promise.all(ids.map((id) => catalogue.find(id)))
    const found = places.filter((place) => place !== undefined)
    return found.length < places.length ? noRun() : streams.answer(context, found)
  })
  api.get('/runs/:id', async (context) => {
    const place = await catalogue.find(context.req.param('id'))
    return place === undefined ? noRun() : context.json(await detailOf(place))
  })
  api.get('/runs/:id/example-tumors', async (context) => {
    const place = await catalogue.find(context.req.param('id'))
    return place === undefined ? noRun() : context.json(await exampleTumorsOf(place))
  })
  api.get('/runs/:id/logs/:node{[0-9]{1,6}}/:rank{[0-9]{1,6}}', async (context) => {
    const { id, node, rank } = context.req.param()
    const place = await catalogue.find(id)
    if (place === undefined) return noRun()
    const text = await tailOf(place, Number(node), Number(rank))
    return text === null ? refuse(`rank ${rank}: no log`, 'select another rank', 404) : context.text(text)
  })
  api.post(
    '/runs/:id/commands',
    bodyLimit({
      maxSize: MAX_BODY,
      onError: () => refuse(`body: too large (expected at most ${MAX_BODY} bytes)`, 'send one command', 413),
    }),
    async (context) => {
      if (!options.control) return refuse('commands: not allowed', 'start `freetumor studio --control`', 403)
      if (context.req.header('content-type') !== 'application/json')
        return refuse('Content-Type: not supported (expected application/json)', 'send JSON', 415)
      const place = await catalogue.find(context.req.param('id'))
      if (place === undefined) return noRun()
      return await carryOut(place.directory, await context.req.text(), options.processes)
    },
  )
  api.route('/collections', reviews)
  app.route('/api', api)
  return app
}

function noRun(): Response {
  return refuse('run: not found', 'reload the list of runs', 404)
}
