import type { AddCommand } from '../program.js'
import { addDataAudit } from './data-audit.js'
import { addDataCheck } from './data-check.js'
import { addDataConvert } from './data-convert.js'
import { addDataImport } from './data-import.js'
import { addDataList } from './data-list.js'
import { addDataRemap } from './data-remap.js'
import { addDataSplit } from './data-split.js'

/** `freetumor data list|check|convert|import|schema|split|audit|remap` */
export const addDataCommand: AddCommand = (program, io) => {
  const data = program.command('data').description('List, check, convert, import, split and remap data')
  addDataList(data, io)
  addDataCheck(data, io)
  addDataConvert(data, io)
  addDataImport(data, io)
  addDataSplit(data, io)
  addDataAudit(data, io)
  addDataRemap(data, io)
}
