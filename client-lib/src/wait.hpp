// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace impnet::detail {

/// Whether a call waits for what it is about, or leaves it at what there is.
enum class Wait : bool { no, yes };

}  // namespace impnet::detail
