import ts from 'typescript'

/** A text that a person reads: a doc comment, another comment, or a string with a space in it. */
export interface ReadText {
  readonly kind: 'doc' | 'comment' | 'string'
  /** From 1. */
  readonly line: number
  readonly text: string
}

/** A doc comment of a function or method. */
export interface FunctionDoc {
  readonly line: number
  readonly text: string
}

/** An error that the code constructs. */
export interface ConstructedError {
  readonly line: number
  readonly type: string
  readonly hasHint: boolean
  /** Message and hint, as far as they are written there. */
  readonly texts: readonly string[]
}

export interface SourceWords {
  readonly texts: readonly ReadText[]
  readonly functionDocs: readonly FunctionDoc[]
  readonly errors: readonly ConstructedError[]
}

/** Calls whose first argument is a title, such as `test.each(cases)`. */
const TITLED = /^(test|it|describe)\b/

/** What stands for the values inside a template. */
const VALUE = '…'

/**
 * Parse a TypeScript file and return the texts in it that a person reads.
 * @param errorTypes names of the error classes whose construction is listed
 */
export function wordsOf(path: string, source: string, errorTypes: ReadonlySet<string>): SourceWords {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.ES2023, true)
  const lineOf = (at: number): number => file.getLineAndCharacterOfPosition(at).line + 1
  const literals: (readonly [start: number, end: number])[] = []
  const strings: ReadText[] = []
  const functionDocs: FunctionDoc[] = []
  const errors: ConstructedError[] = []
  const visit = (node: ts.Node): void => {
    if (isLiteral(node)) literals.push([node.getStart(file), node.end])
    const text = proseOf(node)
    if (text !== null && /\p{L}\s/u.test(text))
      strings.push({ kind: 'string', line: lineOf(node.getStart(file)), text })
    if (isFunction(node))
      for (const doc of ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc))
        functionDocs.push({ line: lineOf(doc.pos), text: ts.getTextOfJSDocComment(doc.comment) ?? '' })
    if (ts.isNewExpression(node) && errorTypes.has(node.expression.getText(file)))
      errors.push(constructed(node, file, lineOf(node.getStart(file))))
    ts.forEachChild(node, visit)
  }
  ts.forEachChild(file, visit)
  return { texts: [...commentsOf(source, literals, lineOf), ...strings], functionDocs, errors }
}

function isLiteral(node: ts.Node): boolean {
  return ts.isStringLiteral(node) || ts.isRegularExpressionLiteral(node) || ts.isTemplateLiteralToken(node)
}

/** Return the titles that `test`, `it` and `describe` of a TypeScript test file state as strings. */
export function titlesOf(path: string, source: string): ReadText[] {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.ES2023, true)
  const titles: ReadText[] = []
  const visit = (node: ts.Node): void => {
    const [title] = ts.isCallExpression(node) ? node.arguments : []
    const text = title === undefined ? null : proseOf(title)
    if (ts.isCallExpression(node) && text !== null && TITLED.test(node.expression.getText(file)))
      titles.push({
        kind: 'string',
        line: file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1,
        text,
      })
    ts.forEachChild(node, visit)
  }
  visit(file)
  return titles
}

function isFunction(node: ts.Node): boolean {
  return (
    ts.isFunctionDeclaration(node) ||
    ts.isMethodDeclaration(node) ||
    ts.isMethodSignature(node) ||
    (ts.isVariableStatement(node) &&
      node.declarationList.declarations.every(
        ({ initializer }) => initializer !== undefined && ts.isArrowFunction(initializer),
      ))
  )
}

/** Return the text of a string or template; null for other nodes and for names of modules. */
function proseOf(node: ts.Node): string | null {
  if (ts.isImportDeclaration(node.parent) || ts.isExportDeclaration(node.parent)) return null
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text
  if (!ts.isTemplateExpression(node)) return null
  return node.head.text + node.templateSpans.map(({ literal }) => VALUE + literal.text).join('')
}

function constructed(node: ts.NewExpression, file: ts.SourceFile, line: number): ConstructedError {
  const [message, details] = node.arguments ?? []
  const hint =
    details && ts.isObjectLiteralExpression(details)
      ? details.properties.find((property) => property.name?.getText(file) === 'hint')
      : undefined
  // details that another function made carry their own hint
  const passedOn = details !== undefined && !ts.isObjectLiteralExpression(details)
  return {
    line,
    type: node.expression.getText(file),
    hasHint: hint !== undefined || passedOn,
    texts: [message, hint].flatMap((part) => (part ? stringsIn(part) : [])),
  }
}

function stringsIn(node: ts.Node): string[] {
  const own = proseOf(node)
  if (own !== null) return [own]
  const found: string[] = []
  ts.forEachChild(node, (child) => void found.push(...stringsIn(child)))
  return found
}

function commentsOf(
  source: string,
  literals: readonly (readonly [start: number, end: number])[],
  lineOf: (at: number) => number,
): ReadText[] {
  const ends = new Map(literals)
  const found: Found[] = []
  for (let at = 0; at < source.length; at++) {
    const end = ends.get(at)
    if (end !== undefined) at = end - 1
    else if (source.startsWith('//', at)) {
      const stop = source.indexOf('\n', at)
      found.push({
        kind: 'comment',
        line: lineOf(at),
        text: source.slice(at + 2, stop).trim(),
        ownLine: startsLine(source, at),
      })
      at = stop
    } else if (source.startsWith('/*', at)) {
      const stop = source.indexOf('*/', at)
      const kind = source.startsWith('/**', at) ? 'doc' : 'comment'
      found.push({ kind, line: lineOf(at), text: plainComment(source.slice(at, stop)), ownLine: false })
      at = stop + 1
    }
  }
  return joined(found)
}

function plainComment(comment: string): string {
  return comment
    .replace(/^\/\*+/, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\*? ?/, ''))
    .join('\n')
    .trim()
}

interface Found extends ReadText {
  /** Nothing but white space stands before it. */
  readonly ownLine: boolean
}

function startsLine(source: string, at: number): boolean {
  return source.slice(source.lastIndexOf('\n', at - 1) + 1, at).trim() === ''
}

/** Join comments that continue on the next line. */
function joined(comments: readonly Found[]): ReadText[] {
  const all: ReadText[] = []
  let last: Found | null = null
  for (const one of comments) {
    const { ownLine, ...text } = one
    const before = all.at(-1)
    if (before && ownLine && last?.ownLine && one.line === last.line + 1)
      all[all.length - 1] = { ...before, text: `${before.text} ${one.text}` }
    else all.push(text)
    last = one
  }
  return all
}

/** Return the comments of a file whose comments start with this sign, such as `#` or `//`. */
export function lineComments(source: string, sign: string): ReadText[] {
  const comments = source.split('\n').flatMap((line, at): Found[] => {
    const start = line.indexOf(sign)
    if (start < 0) return []
    const text = line.slice(start + sign.length).trim()
    return [{ kind: 'comment', line: at + 1, text, ownLine: line.slice(0, start).trim() === '' }]
  })
  return joined(comments)
}

/** Return prose without code in backticks and without what stands in parentheses. */
export function withoutCode(text: string): string {
  return text.replace(/`[^`]*`/g, VALUE).replace(/\([^()]*\)/g, '')
}

/** Return the sentences of a short text. A colon or a semicolon ends a sentence as a full stop does. */
export function sentencesOf(text: string): string[] {
  return withoutCode(text)
    .split(/[.:;?!](?:\s|$)/)
    .map((sentence) => sentence.trim())
    .filter(Boolean)
}

/** Count words; a value or a path is one word. */
export function wordCount(sentence: string): number {
  return sentence.split(/\s+/).filter((word) => /[\p{L}\d…]/u.test(word)).length
}

/** Most words of a sentence in the help and in errors. */
export const MAX_WORDS = 15

/** Return the sentences of these texts that have more than `MAX_WORDS` words. */
export function longSentences(texts: readonly string[]): string[] {
  return texts.flatMap(sentencesOf).filter((sentence) => wordCount(sentence) > MAX_WORDS)
}
