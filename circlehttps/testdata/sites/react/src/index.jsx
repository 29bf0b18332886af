import React from 'react';
import { XmplProvider } from 'xmpl-react';
import App from './App';

const xmpcfg = { access: { accessToken: '20000001-0000-4000-8000-abc000000001_20000002-0000-4000-8000-abc000000002_0123456789abcdef0123456789abcdef', url: 'http://marketing.example.com/XMPieXMPL_REST_API', circleProjectID: '20000002-0000-4000-8000-abc000000002' } };

root.render(<XmplProvider xmpcfg={xmpcfg}><App /></XmplProvider>);
